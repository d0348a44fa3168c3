"""The pages: the thesis's from committed results, and one of a user's own runs."""

import json
import re
import shutil
from pathlib import Path

import pytest

from experiments import mnist5k, reproduce
from mmvae import data as data_sets
from mmvae.config import override
from mmvae.reproduce import html, page
from mmvae.reproduce.plan import Claim, Figure, Plan, Run, Section
from mmvae.reproduce.results import Number, Results
from mmvae.run import folder as run_folder
from mmvae.run.folder import resolve
from mmvae.sweep import points as sweeps
from mmvae.system import process
from mmvae.types import InputError

ROOT = Path(__file__).parent.parent
COMMITTED = Results(ROOT / 'experiments' / 'results')


# The thesis's page


def test_the_committed_report_is_made_anew_byte_for_byte_and_the_html_says_the_same(tmp_path):
    paths = page.report(reproduce.PLAN, ROOT, None, tmp_path)
    committed = ROOT / 'experiments' / 'README.md'
    assert paths[0].read_bytes() == committed.read_bytes(), 'launch.py --mode=report writes it anew'
    text, written = (p.read_text() for p in paths)
    shown = re.sub(r'<[^>]+>', '', written)
    numbers = re.findall(r'-?[\d,]+\.\d+ \+- \d+\.\d+', text)
    assert len(numbers) > 100
    assert numbers == re.findall(r'-?[\d,]+\.\d+ \+- \d+\.\d+', shown)
    assert written.count('src="data:image/png;base64,') == text.count('![')
    assert 'src="http' not in written
    assert '<script' not in written
    assert all((tmp_path / name).is_file() for name in re.findall(r'\]\((results/[^)]+)\)', text))


def test_the_readmes_numbers_are_those_of_the_committed_results():
    text = (ROOT / 'README.md').read_text()
    parts = page.readme_parts(reproduce.PLAN, COMMITTED)
    assert page.renew(text, parts) == text, 'launch.py --mode=report writes it anew'
    with pytest.raises(InputError, match='0 marks'):
        page.renew(text.replace('<!-- /results -->', ''), parts)


def test_the_plan_has_every_result_and_what_it_names_is_there():
    plan, names = reproduce.PLAN, {run.name for run in reproduce.PLAN.runs}
    files = {
        p.name.split('.')[0] for p in (ROOT / 'experiments/results').glob('*') if p.suffix != '.png'
    }
    assert files - {'peers'} <= names  # the comparison with another library has a page of its own
    for name in names:
        assert (ROOT / 'experiments' / f'{name}.py').is_file()
    named = [n for s in plan.sections for n in s.runs]
    assert sorted(named) == sorted(names)  # each stands in one section
    for claim in plan.claims:  # its number is one of the result, where there is one
        page.verdict(claim, COMMITTED)
    assert {f.number for f in plan.figures} == {f'7.{i}' for i in range(1, 13)}
    assert {p.partition('.')[0] for f in plan.figures for p in f.pictures} <= names


def rows(mean, stderr, kind='bound', **fields):
    row = {
        'kind': kind,
        'of': 'x',
        'given': '',
        'posterior': 'x',
        'modality': '',
        'examples': 'all',
    }
    return {**row, **fields, 'mean': mean, 'stderr': stderr, 'n': 500, 'samples': 1, 'groups': 500}


def write_results(folder, name, test, **more):
    fields = {'data.view': 'whole', 'objective.name': 'single', 'data.num_pairs': 0, 'model.translator': False,
              'model.flow_steps': 0, 'model.flow': 'each', **more}  # fmt: skip
    config = resolve(override(mnist5k.get_config().to_dict(), fields)).to_dict()
    folder.mkdir(exist_ok=True)
    curve = [{'step': s, 'seconds': 2.0 * s, 'x_bound': -100 - 50 / s} for s in (1, 2, 3)]
    result = {'config': config, 'updates': 3, 'step': 3, 'seconds': 6.0, 'device': '1 x cpu',
              'stopped_early': False, 'test': test, 'curve': curve, 'commit': 'abcdef123'}  # fmt: skip
    (folder / f'{name}.json').write_text(json.dumps(result))


CASES = {
    'beaten': Claim('', '', '', 'a', 'x_bound', -101.5),
    'met': Claim('', '', '', 'a', 'x_bound', -99.5),
    'missed': Claim('', '', '', 'a', 'x_bound', -98.5),
    'met, of words': Claim('', '', '"well"', 'a', 'x_bound', -101.5),
    'not clear, of words': Claim('', '', '"well"', 'a', 'x_bound', -99.5),
    'met, less': Claim('', '', '', 'a', 'x_bound', than=('b', 'x_bound'), less=True),
    'contradicted': Claim('', '', '', 'a', 'x_bound', than=('b', 'x_bound')),
    'not clear': Claim('', '', '', 'a', 'x_bound', than=('c', 'x_bound')),
    'differs': Claim('', '', '', 'a', 'x_bound', -90.0, alike=True),
    'met, alike': Claim('', '', '', 'a', 'x_bound', -99.5, alike=True),
    'not run': Claim('', '', '', 'nobody', 'x_bound', -90.0),
    'not run, beside nothing': Claim('', '', '', 'a', 'x_bound', than=('nobody', 'x_bound')),
}


@pytest.mark.parametrize('case', CASES)
def test_a_verdict_is_by_two_standard_errors(case, tmp_path):
    for name, mean in (('a', -100.0), ('b', -90.0), ('c', -100.2)):
        write_results(tmp_path, name, [rows(mean, 0.5)])
    assert page.verdict(CASES[case], Results(tmp_path)) == case.partition(',')[0]


def test_a_small_plan_becomes_a_page_that_names_what_failed_and_what_is_missing(tmp_path):
    write_results(tmp_path / 'r', 'a', [rows(-100.0, 0.5)])
    plan = Plan(
        'Title', '', 'experiments',
        runs=(Run('a', ('table 1',), reduced='a part', note='is {a x_bound}, b {b x_bound}.'), Run('b', ('table 1',), data='mnist')),
        claims=(Claim('table 1', 'it is | good', '-99', 'a', 'x_bound', -99),),
        figures=(Figure('1', 'nothing', ('b.samples',)),),
        sections=(Section('Both', ('a', 'b'), {'bound': 'x_bound', 'of y': 'y_bound'}),),
        missing='much', readme={},
    )  # fmt: skip
    paths = page.write(plan, Results(tmp_path / 'r'), tmp_path / 'out', {'b': 'out of memory'})
    text = paths[0].read_text()
    assert '**`a`** is -100.0 +- 0.5, b no result yet.' in text
    assert '* `b`: `out of memory`' in text
    assert 'met, at reduced size: a part' in text
    assert 'it is \\| good' in text
    assert 'it is | good' in paths[1].read_text()
    assert (
        '| `a` | -100.0 +- 0.5 | 3 of 3,000 | 6 s, CPU | 0 | abcdef1 |' in text
    )  # no empty column
    assert 'No picture of `b` is there.' in text
    assert (tmp_path / 'out/results/curves-a.png').is_file()
    (tmp_path / 'r/b.json').write_text('{"config": 1')
    with pytest.raises(InputError, match='b.json: not the results of a run'):
        page.write(plan, Results(tmp_path / 'r'), tmp_path / 'out')


def test_numbers_are_of_the_run_and_in_the_unit_asked_for(tmp_path):
    test = [rows(-100.0, 0.5), rows(-70.0, 2.0, 'translation', given='x', of='y')]
    write_results(
        tmp_path,
        'a',
        test,
        **{'data.view': 'halves', 'objective.name': 'joint', 'data.num_pairs': 500},
    )
    share = {
        'train': 'x',
        'test': 'y',
        'method': 'means',
        'accuracy': 0.5,
        'std': 0.003,
        'n': 10_000,
    }
    config = json.loads((tmp_path / 'a.json').read_text())['config']
    quality = {
        'source': 'x',
        'target': 'y',
        'colour': {'mean': 0.25, 'stderr': 0.01, 'n': 40, 'samples': 8},
    }
    for part, row in (('representation', share), ('translation', quality)):
        (tmp_path / f'a.{part}.json').write_text(json.dumps({'config': config, part: [row]}))
    (tmp_path / 's.csv').write_text(
        'way,seed,log_p\n"joint, few",0,-100\n"joint, few",1,-104\njoint,0,-90\n'
    )
    of = Results(tmp_path)
    assert of.number('a', 'x_bound') == Number(-100.0, 0.5, 500, 1, 'nats')
    assert of.number('a', 'y_given_x_translation.nll').text() == '70.0 +- 2.0'
    # The classifiers' spread, 0.3%, and that of 10,000 examples, 0.5%.
    assert of.number('a', 'represent x y means').stderr == pytest.approx(
        100 * (0.003**2 + 0.5**2 / 1e4) ** 0.5
    )
    assert of.number('a', 'quality x y colour').text() == '25.0 +- 1.0%'
    assert of.number('s', 'csv log_p way=joint,_few') == Number(-102.0, 2.0, 2, 1, 'nats')
    assert of.number('s', 'csv log_p way=joint') == Number(-90.0, None, 1, 1, 'nats')
    assert of.number('nobody', 'x_bound') is None
    for wrong in ('z_bound', 'represent x z means', 'quality y x colour'):
        with pytest.raises(InputError, match='no such number'):
            of.number('a', wrong)
    with pytest.raises(InputError, match='no such number'):
        of.number('s', 'csv log_p way=mvae')


def test_a_plan_of_another_scale_has_its_runs_and_no_stories():
    plan = reproduce.PLAN
    assert plan.at('cpu') is plan
    gpu, names = plan.at('gpu'), {run.name for run in plan.runs if 'gpu' in run.scales}
    named = {c.run for c in gpu.claims} | {c.than[0] for c in gpu.claims if c.than}
    named |= {p.partition('.')[0] for f in gpu.figures for p in f.pictures}
    # There is no larger one of these.
    assert named - names <= {'cifar10', 'day_night', 'coloured_mnist_translator'} | {
        n for n in named if n.endswith('_full')
    }
    assert 'coloured_mnist_full' in named
    for scale in ('gpu', 'smoke'):
        text = page.markdown(
            plan, Results(Path('nowhere')), {'mnist_vae': 'a `quoted` <tag>'}, scale
        )
        assert "* `mnist_vae`: `a 'quoted' <tag>`" in text
        assert 'translator needs pairs' not in text  # a story of committed results
    assert {run.reduced for run in plan.at('smoke').runs} == {'a toy'}


def test_a_run_is_for_all_that_names_it():
    parts = reproduce.PLAN.parts
    assert {'section 4.4', 'section 4.5'} <= {*parts(reproduce.PLAN.run('frontier'))}
    assert {'table 7.2', 'section 7.4.1', 'figure 7.5'} <= {
        *parts(reproduce.PLAN.run('coloured_mnist'))
    }


def test_results_that_lack_a_number_of_the_plan_leave_its_place_empty(tmp_path):
    (tmp_path / 'frontier.csv').write_text(
        'way,num_pairs,seed,log_p_xy,joint_bound,nll_y_from_x,nll_x_from_y\njoint,20,0,-1,-2,3,4\n'
    )
    text = page.markdown(reproduce.PLAN, Results(tmp_path), {}, 'smoke')
    assert '| joint | -1.0 (-2.0), 3.0, 4.0 |' in text
    assert text.count('| not run |') == len(reproduce.PLAN.claims)


def test_all_parts_of_a_run_are_of_one_folder(tmp_path):
    for place, name in (
        ('new', 'a.json'),
        ('old', 'a.json'),
        ('old', 'a.translation.json'),
        ('old', 'b.png'),
        ('old', 'b.csv'),
    ):
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / place / name).touch()
    of = Results(tmp_path / 'new', tmp_path / 'old')
    assert of.path('a.json') == tmp_path / 'new/a.json'
    assert of.path('a.translation.json') is None  # of another training
    assert of.path('b.png') == tmp_path / 'old/b.png'


# A user's runs


def write_finished_run(folder, **fields):
    """A run of the default experiment as a training leaves it, of one picture."""
    config = resolve(override(mnist5k.get_config().to_dict(), fields))
    folder.mkdir(parents=True)
    model = run_folder.build_model(config, data_sets.modalities(config.data))
    run_folder.write_config(config, model, folder)
    both = {'of': 'x+y', 'posterior': 'x+y'}
    test = [rows(-111.0, 0.5, **both), rows(-105.0, 0.5, 'importance-weighted', **both)]
    for source, target, mean in (('x', 'y', -71.0), ('y', 'x', -65.0)):
        given = {'of': target, 'given': source}
        test.append(rows(mean, 0.5, 'translation', **given, posterior=f'translator given {source}'))
        test.append(rows(mean - 20, 0.5, 'ignoring', **given, posterior='prior'))
    results = {
        'config': config.to_dict(), 'updates': 3000, 'step': 2000, 'stopped_early': False, 'seconds': 60.0, 'device': '1 x cpu',
        'commit': 'abcdef123', 'test': test, 'train': [rows(-90.0, 0.5, **both)], 'validation': [rows(-110.0, 0.5, **both)],
    }  # fmt: skip
    (folder / 'results.json').write_text(json.dumps(results))
    bounds = {'joint_bound': -110.0, 'x_bound': -50.0, 'y_bound': -50.0, 'translation_xy_bound': -200.0,
              'translation_yx_bound': -200.0, 'translation_xy_reconstruction_y': -70.0,
              'translation_yx_reconstruction_x': -65.0}  # fmt: skip
    lines = [
        {'step': s, 'kind': 'validation', 'seconds': s / 50, **bounds} for s in (1000, 2000, 3000)
    ]
    (folder / 'metrics.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    (folder / 'figures').mkdir()
    shutil.copyfile(ROOT / 'experiments/results/frontier_mnist.png', folder / 'figures/samples.png')


@pytest.fixture
def folder(tmp_path):
    """Two finished runs, one that trains, one of another version, two damaged ones, a sweep, and what is none."""
    place = tmp_path / 'runs'
    write_finished_run(place / 'done')
    for name, psi in (
        ('other', 0.5),
        ('half', 0.25),
        ('old', 0.125),
        ('newer', 1.0),
        ('damaged', 1.0),
        ('cut', 1.0),
    ):
        write_finished_run(place / name, **{'objective.free_bits': psi})
    (place / 'half/results.json').unlink()
    results = json.loads((place / 'old/results.json').read_text())
    (place / 'old/results.json').write_text(
        json.dumps({**results, 'test': {'joint_bound': {'mean': -1}}})
    )
    config = json.loads((place / 'newer/config.json').read_text())
    config['model']['unheard_of'] = 3
    (place / 'newer/config.json').write_text(json.dumps(config))
    (place / 'damaged/config.json').write_text('{"model')
    (place / 'cut/metrics.jsonl').write_text('{"step": 1}\n')
    base, overrides = (
        mnist5k.get_config().to_dict(),
        [{'objective.alpha': 0.1}, {'objective.alpha': 0.2}],
    )
    (place / 'sweep').mkdir()
    points = sweeps.make_points(base, overrides, place / 'sweep')
    sweeps.write_sweep(sweeps.Sweep(base, None, points), place / 'sweep')
    write_finished_run(points[0].workdir)
    (place / 'notes').mkdir()
    (place / 'notes/text.txt').write_text('no run')
    return place


def test_the_page_of_a_folder_names_every_run_and_its_state(folder, tmp_path):
    with process.lock(folder / 'half'):
        paths = page.report(reproduce.PLAN, ROOT, folder, tmp_path / 'out')
    text, written = (p.read_text() for p in paths)
    states = dict(re.findall(r'^\| `([^`]+)` \| ([^|]+) \|', text, re.MULTILINE))
    assert states['done'] == states['other'] == 'finished'
    assert states['half'] == 'update 3000 of 3000, training now'
    assert states['old'] == 'of an earlier version'
    assert states['newer'].startswith('`cannot be read:')
    assert 'unheard_of: unknown' in states['newer']
    assert states['damaged'].startswith('`cannot be read:')
    assert 'damaged/config.json' in states['damaged']
    assert states['cut'] == 'damaged: metrics.jsonl'
    assert states['sweep'] == 'sweep, 1 of 2 points finished'
    assert 'notes' not in states
    numbers = (
        '-111.0 +- 0.5 | -105.0 +- 0.5 | y from x -71.0, x from y -65.0 | 3000 | 60 s, 1 x cpu'
    )
    assert f'| mnist5k | {numbers} | abcdef1 | `objective.free_bits=0.5` |' in text
    assert 'is predicted by the translator 20.0 nats better' in text
    assert written.count('data:image/png;base64,') == text.count('![') == 4
    assert (folder / 'half').exists()
    assert not (folder / 'half/report.md').exists()


def test_odd_runs_leave_the_page_whole(tmp_path):
    place = tmp_path / 'runs'
    for name in ('lr0.1', 'lr01', 'a b <i> `x`'):
        write_finished_run(place / name)
    (place / 'lr01/figures/more.png').mkdir()
    write_finished_run(place / 'reproduce-gpu/within')
    (place / 'reproduce-gpu/reproduce.json').touch()
    write_finished_run(place / 'no seconds')
    results = json.loads((place / 'no seconds/results.json').read_text())
    del results['seconds']
    (place / 'no seconds/results.json').write_text(json.dumps(results))
    write_finished_run(place / 'nan')
    with (place / 'nan/metrics.jsonl').open('a') as file:
        row = {'step': 4000, 'kind': 'validation', 'seconds': 1, 'joint_bound': float('nan')}
        file.write(json.dumps(row) + '\n')
    write_finished_run(place / 'photographs')
    config = json.loads((place / 'photographs/config.json').read_text())
    own = {'name': 'own', 'modalities': 'x: likelihood=bernoulli; y: likelihood=bernoulli'}
    for name in ('view', 'limit', 'edge_colours', 'train_digits', 'test_digits', 'with_label'):
        del config['data'][name]
    config['data'].update(own)
    (place / 'photographs/config.json').write_text(json.dumps(config))
    paths = page.report(reproduce.PLAN, ROOT, place, tmp_path / 'out')
    text, written = (p.read_text() for p in paths)
    assert '## `lr0.1`' in text
    assert len({*re.findall(r'report/(\d+)\.samples\.png', text)}) == text.count('samples.png')
    assert '| `reproduce-gpu/within` | finished |' in text
    assert '| `no seconds` | `damaged: results.json` |' in text
    assert '<h2 id="a-b-i-x"><code>a b &lt;i&gt; \'x\'</code></h2>' in written
    with pytest.raises(InputError, match='--out: not given'):
        page.report(reproduce.PLAN, ROOT, place / 'reproduce-gpu', None)


def test_the_page_of_one_run_lies_in_its_folder(folder):
    path = page.report(reproduce.PLAN, ROOT, folder / 'done', None)[0]
    assert path.parent == folder / 'done'
    assert path.read_text().startswith('# Runs in done\n')
    assert run_folder.is_finished(run_folder.read_config(folder / 'done'), folder / 'done')


def test_a_folder_without_runs_or_one_that_cannot_be_written_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match='notes has no run'):
        page.report(reproduce.PLAN, ROOT, folder / 'notes', None)
    (tmp_path / 'file').write_text('')
    for workdir in (folder, None):
        with pytest.raises(InputError, match='--out: .*file cannot be written'):
            page.report(reproduce.PLAN, ROOT, workdir, tmp_path / 'file')


def test_a_link_to_a_heading_has_the_name_that_github_gives_it():
    text = '# What it is: q(z|x)\n\n[there](#what-it-is-qzx)\n'
    assert 'id="what-it-is-qzx"' in html.page(text, Path())
