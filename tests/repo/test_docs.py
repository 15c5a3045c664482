"""What the documents show is what the program does."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
import yaml

from adapters import endpoint_from_config
from adapters.spec_scores import KINDS
from probe.cli.main import cli
from probe.drift_setup import watch_task
from probe.engine.drift_plan import plan_baseline
from probe.errors import ProbeError
from probe.setup import Project
from probe.survey_setup import project_surveys

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    "README.md",
    "docs/endpoints.md",
    "docs/providers.md",
    "docs/schedules.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
)
PROGRAMS = {"make", "probe", "pip", "git", "cd"}


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text(name), re.MULTILINE | re.DOTALL)


def command_lines() -> list[list[str]]:
    lines = [line for name in DOCUMENTS for block in blocks(name, "sh") for line in block.splitlines()]
    commands = [shlex.split(part, comments=True) for line in lines for part in line.split("&&")]
    commands += [
        shlex.split(part) for name in DOCUMENTS for part in re.findall(r"`((?:make|probe) [^`]+)`", text(name))
    ]
    return [part for command in commands if command for part in _parts(command)]


def _parts(command: list[str]) -> list[list[str]]:
    """A command, and the one that it is given after ``--``."""
    if "--" not in command:
        return [command]
    at = command.index("--")
    return [command[:at], ["probe", *command[at + 1 :]]]


def commands() -> dict[str, click.Command]:
    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


@pytest.mark.parametrize("example", [*blocks("README.md", "yaml"), text("probe/cli/template.yaml")])
def test_config_examples_come_to_tasks(example: str, tmp_path: Path) -> None:
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "review.txt").write_text(
        "The staff were friendly, but the refund was slow.", encoding="utf-8"
    )
    path = tmp_path / "probe.yaml"
    path.write_text(example, encoding="utf-8")
    tasks = Project.load(path, environment={"VENDOR_A_KEY": "k"}).tasks()
    assert {task.probe for task in tasks} == {"reviews"}
    assert [task.method.name for task in tasks] == ["occlusion", "substitution", "lime", "shapley"]


@pytest.mark.parametrize("example", blocks("docs/endpoints.md", "yaml"))
def test_examples_of_endpoints_come_to_adapters_that_render(example: str) -> None:
    for name, config in yaml.safe_load(example).items():
        adapter = endpoint_from_config(name, config, environment={"VENDOR_A_KEY": "k"}, base=Path())
        picture = any(pipe in example.partition(f"{name}:")[2].partition("scores")[0] for pipe in ("b64", "png"))
        instance = np.zeros((8, 8, 3), np.uint8) if picture else [1, 2, 3, 4] if "| list" in str(config) else "a text"
        assert adapter.request([instance]) is not None


def test_every_kind_of_scores_is_described() -> None:
    assert set(re.findall(r"^\| `([a-z]+):", text("docs/endpoints.md"), re.MULTILINE)) == set(KINDS)


def test_the_example_of_surveys_comes_to_tasks(tmp_path: Path) -> None:
    [example] = blocks("README.md", "yml")
    rows = "".join(f"{age},{age % 7},{'yes' if age > 40 else 'no'}\n" for age in range(20, 60))
    (tmp_path / "loans.csv").write_text(f"age,visits,paid\n{rows}", encoding="utf-8")
    path = tmp_path / "probe.yaml"
    path.write_text(blocks("README.md", "yaml")[0] + example, encoding="utf-8")
    tasks = project_surveys(Project.load(path, environment={"VENDOR_A_KEY": "k"}))
    assert [task.method.name for task in tasks] == ["permutation", "pdp", "ale", "surrogate", "beeswarm"]
    assert {task.inputs.rows.columns for task in tasks} == {("age", "visits")}


def test_the_example_of_a_baseline_can_be_made_and_planned(tmp_path: Path) -> None:
    [example] = blocks("README.md", "YAML")
    rows = "".join(f"{age},{age % 7}\n" for age in range(20, 60))
    (tmp_path / "loans.csv").write_text(f"age,visits\n{rows}", encoding="utf-8")
    path = tmp_path / "probe.yaml"
    path.write_text(blocks("README.md", "yaml")[0] + example, encoding="utf-8")
    task = watch_task(Project.load(path, environment={"VENDOR_A_KEY": "k"}), "applicants")
    assert len(task.items) == 40
    assert plan_baseline(task).expected == 2 * 500 + 20 * (20 + 2 * 10)


def test_the_readme_has_a_config_and_both_commands() -> None:
    assert len(blocks("README.md", "yaml")) == 1
    shown = command_lines()
    assert ["make", "demo"] in shown
    assert ["make", "test"] in shown


def test_commands_and_options_shown_exist() -> None:
    known = commands()
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), re.MULTILINE))
    for program, *arguments in command_lines():
        assert program in PROGRAMS, program
        if program == "make":
            names = {argument for argument in arguments if "=" not in argument and not argument.startswith("-")}
            assert names <= targets, arguments
        elif program == "probe":
            command, rest = known[arguments[0]], arguments[1:]
            options = {option for parameter in command.params for option in parameter.opts}
            while isinstance(command, click.Group) and rest and rest[0] in command.commands:
                command, rest = command.commands[rest[0]], rest[1:]
                options |= {option for parameter in command.params for option in parameter.opts}
            assert {argument for argument in arguments if argument.startswith("-")} <= options, arguments


def test_the_table_of_commands_is_complete() -> None:
    assert set(re.findall(r"^\| `probe ([a-z-]+)` \|", text("README.md"), re.MULTILINE)) == set(commands())


def test_exit_codes_are_those_of_the_errors() -> None:
    sentence = text("README.md").partition("Exit codes: ")[2].partition(".")[0]
    told = {int(code) for code in re.findall(r"\b(\d+) ", sentence)}
    assert {0, 130} | {error.exit_code for error in ProbeError.__subclasses__()} <= told


@pytest.mark.parametrize("code", blocks("README.md", "python"))
def test_python_examples_run(code: str, tmp_path: Path) -> None:
    (tmp_path / "probe.yaml").write_text(blocks("README.md", "yaml")[0], encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "VENDOR_A_KEY": "k"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert any(f"('{name}'" in done.stdout for name in ("a", "slow", "refund", "age"))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_and_links_named_exist(name: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text(name)) if "://" not in link]
    paths = re.findall(
        r"`((?:probe|adapters|storage|tests|tools|\.ci)/[^`\s<>*]+|[A-Za-z.-]+\.(?:md|toml|yml|lock))`", text(name)
    )
    for link in links:
        assert ((ROOT / name).parent / link).exists(), f"{name} leads to {link}"
    for path in paths:
        assert (ROOT / path).exists() or path == "probe.yaml", f"{name} names {path}"


def test_architecture_is_read_in_one_sitting() -> None:
    assert len(text("ARCHITECTURE.md").splitlines()) <= 64


def test_continuous_integration_runs_the_readmes_test_command() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert [line for line in text(".ci/run").splitlines() if line.startswith("exec")] == ["exec make test"]


def test_make_help_lists_every_target() -> None:
    done = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    phony = re.findall(r"^\.PHONY: (.+)$", text("Makefile"), re.MULTILINE)[0].split()
    assert {line.split()[1] for line in done.stdout.splitlines()} == set(phony)
