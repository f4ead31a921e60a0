"""Deployments and work pools: from the files in `deployments` onto a Prefect server."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from httpx import HTTPError
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type
from pydantic import BaseModel, ConfigDict, Field

from connflow.errors import InvalidInputError, ServerError
from connflow.params import parse_params

_SHOWN_LINES = 30


class WorkPool(BaseModel):
    """Where the runs of some deployments wait for a worker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = Field(description="Kind of the workers that serve it: process.")
    description: str = ""
    concurrency_limit: int | None = Field(None, ge=1, description="Most runs at a time.")


class _WorkPools(BaseModel):
    pools: dict[str, WorkPool]


class Deployed(BaseModel):
    """Names of what stands on the server now."""

    model_config = ConfigDict(frozen=True)

    server: str
    work_pools: list[str]
    deployments: list[str]


def deploy(folder: Path) -> Deployed:
    """Create or update the work pools of a folder, with their limits, then deploy its flows.

    Parameters
    ----------
    folder
        Holds ``prefect.yaml`` and ``work_pools.yaml``.

    Raises
    ------
    InvalidInputError
        If a file is missing, or holds something else.
    ServerError
        If no server is named or reached, or Prefect refuses a deployment.
    """
    server = get_current_settings().api.url
    if server is None:
        raise ServerError(
            "no server is named: set PREFECT_API_URL to the server's address, "
            "or start a server of your own with `connflow server start`"
        )
    pools = read_work_pools(folder)
    names = [item["name"] for item in _read(folder / "prefect.yaml").get("deployments", [])]
    try:
        asyncio.run(_apply(pools))
        output = _deploy_flows(folder / "prefect.yaml")
        missing = set(names) - asyncio.run(_deployed(names))
    except HTTPError as error:
        raise ServerError(
            f"the Prefect server {server} does not answer ({error}): start it, or set "
            "PREFECT_API_URL to the address of one that runs"
        ) from None
    if missing:
        raise ServerError(f"Prefect did not deploy {', '.join(sorted(missing))}:\n{output}")
    return Deployed(server=server, work_pools=[*pools], deployments=names)


def read_work_pools(folder: Path) -> dict[str, WorkPool]:
    """Read the work pools of a folder, by name."""
    return parse_params(_WorkPools, {"pools": _read(folder / "work_pools.yaml")}).pools


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInputError(f"{file} cannot be read as YAML: {error}") from None
    if not isinstance(content, dict):
        raise InvalidInputError(f"{file} must hold names with their settings, not {content!r}")
    return content


async def _apply(pools: Mapping[str, WorkPool]) -> None:
    async with get_client() as client:
        for name, pool in pools.items():
            await _apply_pool(client, name, pool)


async def _apply_pool(client: PrefectClient, name: str, pool: WorkPool) -> None:
    """Create a work pool; of one that is there, leave alone whether it is paused."""
    settings = pool.model_dump(include={"description", "concurrency_limit"})
    try:
        await client.read_work_pool(name)
    except ObjectNotFound:
        template = await get_default_base_job_template_for_infrastructure_type(pool.type)
        if template is None:
            raise InvalidInputError(f"work pool {name}: no workers of type {pool.type}") from None
        new = WorkPoolCreate(name=name, type=pool.type, base_job_template=template, **settings)
        await client.create_work_pool(new)
    else:
        await client.update_work_pool(name, WorkPoolUpdate(**settings))


def _deploy_flows(file: Path) -> str:
    command = ["-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    done = subprocess.run(
        [sys.executable, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    output = "\n".join(done.stdout.splitlines()[-_SHOWN_LINES:])
    if done.returncode != 0:
        raise ServerError(f"Prefect could not deploy {file}:\n{output}")
    return output


async def _deployed(names: list[str]) -> set[str]:
    named = DeploymentFilter(name=DeploymentFilterName(any_=names))
    async with get_client() as client:
        return {item.name for item in await client.read_deployments(deployment_filter=named)}
