"""Three agents of ag2 1.x discuss what the user brings, and one of them may ask the user back.

pip install "ag2>=1.2,<2"
# .env
TEAMS=chamber=examples.ag2_team:team
"""

from __future__ import annotations

from ag2 import Agent, Context
from ag2.config import ModelConfig

from app.adapters.ag2_plan import Ag2Plan


async def ask_the_user(question: str, context: Context) -> str:
    """Ask the user for something that only they can know, and wait for the answer."""
    return await context.input(question)


def team(model_config: ModelConfig) -> Ag2Plan:
    """A discussion in two rounds: after each message of the user the three speak in this order."""
    optimist = Agent("optimist", "You see what may go well. Say it in three sentences at most.", config=model_config)
    sceptic = Agent(
        "sceptic",
        "You see what may go wrong. Say it in three sentences at most. Where the user's plan depends on something that "
        "you cannot know, ask the user.",
        config=model_config,
        tools=[ask_the_user],
    )
    arbiter = Agent(
        "arbiter",
        "You weigh what the others have said and propose the next step, in three sentences at most.",
        config=model_config.copy(temperature=0.2),
    )
    return Ag2Plan(agents=(optimist, sceptic, arbiter), rounds=2)
