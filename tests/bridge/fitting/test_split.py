"""Which targets are kept out of a fit: whole molecules, by name, by SMILES, by chance or by file."""

from __future__ import annotations

import pytest

import ffbridge as fb
from ffbridge.errors import FitError
from ffbridge.fitting import read_settings
from ffbridge.fitting.split import read_targets
from tests.bridge.targets import molecules


def names(targets):
    return {target.name for target in targets}


PEROXIDE, METHANOL = {"peroxide", "peroxide drive"}, {"methanol"}


@pytest.mark.parametrize(
    ("validation", "kept_out"),
    [
        ('molecules = ["methanol"]', METHANOL),
        ('molecules = ["*drive"]', PEROXIDE),
        ('molecules = ["CO"]', METHANOL),
        ('molecules = ["[H]OO"]', PEROXIDE),
    ],
)
def test_all_targets_of_a_molecule_go_together(settings_file, validation, kept_out):
    split = read_targets(read_settings(settings_file(validation=f"[validation]\n{validation}")))
    assert names(split.validation) == kept_out
    assert names(split.training) == (PEROXIDE | METHANOL) - kept_out


def test_a_fraction_is_drawn_by_the_seed(settings_file):
    def kept_out(seed):
        text = f"[validation]\nfraction = 0.5\nseed = {seed}"
        return frozenset(names(read_targets(read_settings(settings_file(validation=text))).validation))

    found = [kept_out(seed) for seed in range(12)]
    assert set(found) == {frozenset(PEROXIDE), frozenset(METHANOL)}
    assert found == [kept_out(seed) for seed in range(12)]


def test_files_of_validation(settings_file, data):
    validation = '[validation]\nfiles = ["drives.parquet"]'
    with pytest.raises(FitError, match=r"validation.files: the molecule of 'peroxide drive' is fitted as well"):
        read_targets(read_settings(settings_file(files='["conformers.parquet"]', validation=validation)))
    methanol = [each for each in fb.targets.load(data / "conformers.parquet") if each.name == "methanol"]
    fb.targets.save(methanol, data / "methanol.parquet")
    split = read_targets(read_settings(settings_file(files='["methanol.parquet"]', validation=validation)))
    assert (names(split.training), names(split.validation)) == (METHANOL, {"peroxide drive"})


def test_weights_are_by_kind(settings_file):
    split = read_targets(read_settings(settings_file()))
    assert {target.kind: target.weight for target in split.training} == {"conformers": 1.0, "torsion_drive": 0.5}
    assert split.validation == ()


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (
            'molecules = ["ethanol"]',
            r"validation.molecules: 'ethanol' is no target's name .* are: methanol, per",
        ),
        ('molecules = ["*"]', "validation: all 3 targets are kept out, expected some to learn from"),
        ("fraction = 0.1", "validation.fraction: 0.1 of 2 molecules is less than one"),
    ],
)
def test_what_fits_nothing_is_refused(settings_file, validation, message):
    with pytest.raises(FitError, match=message):
        read_targets(read_settings(settings_file(validation=f"[validation]\n{validation}")))


def test_files_that_are_not_there_are_named(settings_file, data):
    with pytest.raises(FitError, match=rf"toml: targets.files: there is no file {data / 'none.parquet'}"):
        read_targets(read_settings(settings_file(files='["drives.parquet", "none.parquet"]')))
    validation = '[validation]\nfiles = ["none.parquet"]'
    with pytest.raises(FitError, match="validation.files: there is no file"):
        read_targets(read_settings(settings_file(validation=validation)))


def test_names_are_different(settings_file, data):
    fb.targets.save([molecules.drive()], data / "again.parquet")
    with pytest.raises(FitError, match="two targets of kind torsion_drive have the name 'peroxide drive'"):
        read_targets(read_settings(settings_file(files='["drives.parquet", "again.parquet"]')))
