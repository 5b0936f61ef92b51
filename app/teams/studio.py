"""The factory of teams that AutoGen Studio has exported."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from autogen_agentchat.base import ChatAgent, Team
from autogen_core import Component, ComponentBase
from autogen_core.models import ChatCompletionClient
from pydantic import BaseModel, ValidationError

from app.errors import TeamFailed
from app.teams.documents import TeamFileError, dotted, read_document
from app.teams.folder import FRAGMENT
from app.teams.studio_file import loadable, teams_in

_CLIENT: ContextVar[ChatCompletionClient] = ContextVar("the model client of the team that is being loaded")


class NoConfig(BaseModel):
    """It has nothing to say."""


class RunsModel(ComponentBase[NoConfig], Component[NoConfig]):
    """Stands in a team's file where a model stood: loading it gives the run's own client."""

    component_type = "model"
    component_config_schema = NoConfig

    @classmethod
    def _from_config(cls, config: NoConfig) -> Any:
        return _CLIENT.get()


def team(model_client: ChatCompletionClient, file: str) -> Team | ChatAgent:
    """The team of the file, on the run's models, of harmless components only.

    :raises TeamFailed: the file is gone, holds something that is refused, or does not load.
    """
    return _loaded(model_client, file, allow_code=False)


def trusted_team(model_client: ChatCompletionClient, file: str) -> Team | ChatAgent:
    """The same where ALLOW_TEAM_CODE is set: it may hold code."""
    return _loaded(model_client, file, allow_code=True)


def _loaded(model_client: ChatCompletionClient, file: str, *, allow_code: bool) -> Team | ChatAgent:
    path, fragment = (file, "") if Path(file).exists() else file.rpartition(FRAGMENT)[::2]
    try:
        document = read_document(Path(path))
        found = next((each for each in teams_in(document) if dotted(each.path) == fragment), None)
        if found is None:
            raise TeamFileError("this team is no longer in it")
        component = loadable(document, found, allow_code=allow_code)
        with _loading(model_client):
            if component.get("component_type") == "agent":
                return ChatAgent.load_component(component)
            return Team.load_component(component)
    except TeamFileError as error:
        raise TeamFailed(f"{Path(path).name}: {error}") from None
    except ValidationError as error:  # it quotes what the file says, keys included
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = dotted(first["loc"])
        raise TeamFailed(f"{Path(path).name}: {error.title}{'.' if where else ''}{where}: {first['msg']}") from None


@contextmanager
def _loading(model_client: ChatCompletionClient) -> Iterator[None]:
    token = _CLIENT.set(model_client)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that code is loaded was allowed
            yield
    finally:
        _CLIENT.reset(token)
