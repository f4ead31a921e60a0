"""Profiles: every one that comes with connflow makes a task runner; a wrong one says why."""

import pytest
from prefect.task_runners import ThreadPoolTaskRunner
from typer.testing import CliRunner

from connflow.errors import ClusterError, InvalidInputError
from flows.cli import app
from flows.running.cluster import find_cluster_class, start_cluster
from flows.running.profile import Profile, load_profile, profile_names
from flows.running.runner import task_runner
from flows.running.slurm import job_scripts, seconds
from flows.running.step_runner import StepRunner

SLURM = {
    "task_runner": "dask",
    "cluster_class": "dask_jobqueue.SLURMCluster",
    "cluster_kwargs": {"cores": 2, "memory": "4GB", "processes": 1},
}


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_makes_a_runner(name):
    profile = load_profile(name)
    kind = {"threads": ThreadPoolTaskRunner, "dask": StepRunner}[profile.task_runner]
    assert isinstance(task_runner(profile), kind)
    assert profile.description


def test_those_that_are_promised_are_there():
    assert {"local", "dask", "slurm", "slurm-gpu", "slurm-account"} <= set(profile_names())


def test_profile_of_ones_own(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("task_runner: threads\nmax_workers: 3\n")
    assert load_profile(str(path)) == Profile(task_runner="threads", max_workers=3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("task_runner: ray", "task_runner"),
        ("task_runner: threads\nqueue: 3", "queue: there is no such parameter"),
        ("task_runner: [", "not YAML"),
        ("", "Profile"),
        ("task_runner: dask", "cluster_class to start, or the address"),
        (
            "task_runner: dask\ncluster_class: distributed.LocalCluster\naddress: tcp://a:1",
            "one of the two",
        ),
        (
            "task_runner: dask\ncluster_class: dask_jobqueue.SLURMCluster\n"
            "steps: {connectivity: {resources: {gpu: 1}}}",
            r"steps\.connectivity needs .*gpu.* which no kind of worker has",
        ),
        (
            "task_runner: dask\ncluster_class: dask_jobqueue.SLURMCluster\n"
            "workers: {cpu: {}}\nadapt_kwargs: {maximum: 1}",
            "exclude each other",
        ),
        (
            "task_runner: dask\ncluster_class: dask_jobqueue.SLURMCluster\n"
            "adapt_kwargs: {minimum: 3, maximum: 2}",
            r"minimum \(3\) is above maximum \(2\)",
        ),
        ("task_runner: threads\nenvironment: {A: b}", "environment: only for a cluster_class"),
        (
            "task_runner: dask\ncluster_class: dask_jobqueue.SLURMCluster\n"
            "cluster_kwargs: {job_script_prologue: module load gcc}",
            "job_script_prologue takes a list, not 'module load gcc'",
        ),
        (
            "task_runner: dask\ncluster_class: dask_jobqueue.SLURMCluster\nworkers: {big mem: {}}",
            "workers",
        ),
    ],
)
def test_wrong_profile_says_what_is_wrong(tmp_path, content, words):
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(InvalidInputError, match=words):
        load_profile(str(path))


@pytest.mark.parametrize(
    "cluster", ["nowhere.Cluster", "distributed.NoSuchCluster", "distributed.Client"]
)
def test_dask_needs_a_cluster_class(cluster):
    with pytest.raises(InvalidInputError, match="Dask cluster class"):
        find_cluster_class(Profile(task_runner="dask", cluster_class=cluster))


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"workers": {"cpu": {"jobs": 2}}}, InvalidInputError, "has none. Set n_workers"),
        ({"cluster_kwargs": {"no_such": 1}}, ClusterError, "LocalCluster did not start"),
    ],
)
def test_local_cluster_refuses_what_it_has_not(more, error, words):
    profile = Profile(task_runner="dask", cluster_class="distributed.LocalCluster", **more)
    with pytest.raises(error, match=words), start_cluster(profile, None, lambda: None):
        pass


def scripts_of(profile):
    return job_scripts(profile, find_cluster_class(profile))


def test_each_kind_of_worker_has_a_job_script_of_its_own():
    profile = Profile(
        **SLURM
        | {
            "workers": {
                "cpu": {},
                "gpu": {
                    "resources": {"gpu": 1},
                    "cluster_kwargs": {
                        "queue": "gpu",
                        "memory": "8GB",
                        "job_extra_directives": ["--gres=gpu:1"],
                    },
                },
            },
            "environment": {"OMP_NUM_THREADS": "1", "NOTE": "two words"},
        }
    )
    cpu, gpu = scripts_of(profile)["cpu"], scripts_of(profile)["gpu"]
    for script in (cpu, gpu):
        assert "#SBATCH -J connflow-FLOW_RUN_ID" in script
        assert "#SBATCH --comment=connflow/FLOW_RUN_ID/" in script
        assert "export OMP_NUM_THREADS=1" in script
        assert "export NOTE='two words'" in script
    assert "#SBATCH -p gpu" in gpu
    assert "#SBATCH --gres=gpu:1" in gpu
    assert "--resources gpu=1" in gpu
    assert "gpu" not in cpu
    assert "--mem=8G" in gpu
    assert "--mem=4G" in cpu


def test_workers_retire_before_their_job_ends_and_not_all_at_once():
    kwargs = SLURM["cluster_kwargs"] | {"walltime": "04:00:00"}
    script = scripts_of(Profile(**SLURM | {"cluster_kwargs": kwargs}))["worker"]
    assert "--lifetime 12960s --lifetime-stagger 720s" in script  # at the latest 720 s before
    own = kwargs | {"worker_extra_args": ["--lifetime", "1h"]}
    script = scripts_of(Profile(**SLURM | {"cluster_kwargs": own}))["worker"]
    assert script.count("--lifetime") == 1


@pytest.mark.parametrize("walltime", ["an hour", "1:2:3:4", 14400.5, 43200])
def test_walltime_that_slurm_would_refuse(walltime):
    with pytest.raises(InvalidInputError, match="in YAML write it in quotes"):
        seconds(walltime)


def test_misspelt_argument_of_a_kind_is_refused():
    profile = Profile(**SLURM | {"workers": {"cpu": {"cluster_kwargs": {"partition_name": "cpu"}}}})
    with pytest.raises(InvalidInputError, match="partition_name"):
        scripts_of(profile)


def test_show_prints_the_job_script_without_a_cluster(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))  # no sbatch, no squeue
    shown = CliRunner().invoke(app, ["profile", "show", "slurm"])
    assert shown.exit_code == 0, shown.output
    assert "#SBATCH --cpus-per-task=4" in shown.output
    assert "distributed.cli.dask_worker tcp://SCHEDULER:PORT --name cpu-0" in shown.output
    local = CliRunner().invoke(app, ["profile", "show", "local"])
    assert "task_runner: threads" in local.output


def test_orphans_without_slurm_are_a_clear_error(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    asked = CliRunner().invoke(app, ["slurm", "orphans"])
    assert asked.exit_code == 2
    assert "SLURM does not answer" in asked.output
