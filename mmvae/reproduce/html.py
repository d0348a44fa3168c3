"""A page of Markdown as one HTML file: its pictures inside, for light and dark, for a screen of any width."""

import base64
import html
import os
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

from mmvae.system import metrics

_STYLE = """
:root { color-scheme: light dark; --text: #1d2329; --page: #ffffff; --line: #d5dbe1; --soft: #f3f5f7; --link: #0b5cad; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e8ec; --page: #14181c; --line: #39424b; --soft: #1f252b; --link: #7db7f0; }
}
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--page); color: var(--text);
       font: 16px/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
h1, h2, h3 { line-height: 1.25; margin: 2em 0 .6em; } h1 { margin-top: .5em; }
h2 { border-bottom: 1px solid var(--line); padding-bottom: .25em; }
p, ul, ol { max-width: 50rem; } p:has(img) { max-width: none; } a { color: var(--link); }
.wide { overflow-x: auto; margin: 1em 0; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; width: max-content; }
th, td { border: 1px solid var(--line); padding: .3em .6em; text-align: left; vertical-align: top; max-width: 20rem; }
th { background: var(--soft); }
td:last-child { max-width: none; } td:last-child code { white-space: nowrap; }
code, pre { font: .86em/1.5 ui-monospace, monospace; background: var(--soft); border-radius: 4px; padding: .1em .3em; }
pre { overflow-x: auto; padding: .8em; } pre code { padding: 0; font-size: 1em; }
img { max-width: 100%; height: auto; background: #ffffff; border-radius: 6px; padding: 4px; box-sizing: border-box; }
"""


def page(markdown: str, folder: Path) -> str:
    """The HTML of a page whose pictures lie in a folder, by the names that the Markdown has for them.

    A link to a heading of the page works; the first heading is the title.
    """
    # What stands in names and errors is text.
    reader = MarkdownIt('commonmark', {'html': False}).enable('table')
    tokens = reader.parse(markdown)
    title = 'mmvae'
    for i, token in enumerate(tokens):
        if token.type == 'heading_open':
            text = tokens[i + 1].content
            token.attrSet('id', anchor(text))
            title = text if token.tag == 'h1' else title
        for child in token.children or ():
            if child.type == 'image':
                _embed(child, folder)
    reader.renderer.rules['table_open'] = lambda *_: '<div class="wide"><table>\n'
    reader.renderer.rules['table_close'] = lambda *_: '</table></div>\n'
    body = reader.renderer.render(tokens, reader.options, {})
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n'
    )


def write(text: str, folder: Path) -> list[Path]:
    """Writes a page as report.md and report.html to the folder of its pictures; gives the two paths."""
    paths = [folder / 'report.md', folder / 'report.html']
    metrics.write_atomically(paths[0], text)
    metrics.write_atomically(paths[1], page(text, folder))
    return paths


def anchor(heading: str) -> str:
    """The name that GitHub gives a heading, so that one link serves both files."""
    kept = ''.join(c for c in heading.lower() if c.isalnum() or c in ' -_')
    return kept.replace(' ', '-')


def code(text: str) -> str:
    """Any text as code of Markdown."""
    return '`' + ' '.join(text.replace('`', "'").split()) + '`'


def _embed(image: Token, folder: Path) -> None:
    source = unquote(str(image.attrGet('src')))
    path = folder / source
    if os.path.isfile(path):
        data = base64.b64encode(path.read_bytes()).decode()
        image.attrSet('src', f'data:image/png;base64,{data}')
