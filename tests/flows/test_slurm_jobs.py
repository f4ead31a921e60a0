"""Whose job it is: a run is dead when its process has ended, and never because it is silent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.running.slurm_jobs import Job, Owner, telling_lines


def test_owner_survives_the_way_through_a_job_comment():
    owner = Owner.here("0a1b2c3d-0000-4000-8000-000000000000")
    assert Owner.parse(str(owner)) == owner
    assert owner.pid == os.getpid()


@pytest.mark.parametrize("comment", ["", "(null)", "somebody's own note", "connflow/x/y"])
def test_jobs_of_others_have_no_owner(comment):
    assert Owner.parse(comment) is None


def test_a_process_that_runs_is_not_gone():
    assert not Owner.here("run").is_gone


def test_a_process_that_has_ended_is_gone_even_before_anyone_asked_how():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    owner = Owner.here("run")._replace(pid=child.pid, started=stat[19])
    assert not owner.is_gone
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is a zombie
    assert owner.is_gone
    child.communicate()
    assert owner.is_gone


def test_a_process_number_that_another_process_has_now_is_gone():
    assert Owner.here("run")._replace(started="1").is_gone


def test_nothing_is_said_of_processes_of_other_machines():
    owner = Owner.here("run")._replace(host="elsewhere", pid=1, started="1")
    assert not owner.is_here
    assert not owner.is_gone


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (Job("7", "TIMEOUT", "n1", time_limit="01:00:00"), "reached its time limit of 01:00:00"),
        (Job("7", "FAILED", "n1", exit_code="127:0"), "failed with exit status 127"),
        (Job("7", "OUT_OF_MEMORY", "n1"), "job 7 on n1 ran out of memory (OUT_OF_MEMORY)"),
        (Job("7", "RUNNING", "n1"), "is running"),
    ],
)
def test_verdict_in_words(job, words):
    assert words in str(job)


def test_log_is_read_for_what_tells(tmp_path):
    log = tmp_path / "job.err"
    log.write_text(
        "INFO - Start worker at tcp://n1\n"
        "/var/spool/job: line 9: /nowhere/python: No such file or directory\n"
    )
    assert telling_lines(str(log)).endswith("/nowhere/python: No such file or directory")
    assert "INFO" not in telling_lines(str(log))
    assert telling_lines(str(tmp_path / "absent")) == ""
