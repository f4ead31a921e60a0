"""Profiles: every one that comes with connflow makes a task runner; a wrong one says why."""

import pytest
from prefect.task_runners import ThreadPoolTaskRunner
from prefect_dask import DaskTaskRunner

from connflow.errors import InvalidInputError
from flows._runner import Profile, load_profile, profile_names, task_runner


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_makes_a_runner(name):
    profile = load_profile(name)
    kind = {"threads": ThreadPoolTaskRunner, "dask": DaskTaskRunner}[profile.task_runner]
    assert isinstance(task_runner(profile), kind)
    assert profile.description


def test_the_two_of_a_laptop_are_there():
    assert {"local", "dask"} <= set(profile_names())


def test_profile_of_ones_own(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("task_runner: threads\nmax_workers: 3\n")
    assert load_profile(str(path)) == Profile(task_runner="threads", max_workers=3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("task_runner: ray", "task_runner"),
        ("task_runner: threads\nworkers: 3", "workers: there is no such parameter"),
        ("task_runner: [", "not YAML"),
        ("", "Profile"),
    ],
)
def test_wrong_profile_says_what_is_wrong(tmp_path, content, words):
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(InvalidInputError, match=words):
        load_profile(str(path))


@pytest.mark.parametrize("cluster", [None, "nowhere.Cluster", "distributed.NoSuchCluster"])
def test_dask_needs_a_cluster_class(cluster):
    with pytest.raises(InvalidInputError, match="cluster"):
        task_runner(Profile(task_runner="dask", cluster_class=cluster))
