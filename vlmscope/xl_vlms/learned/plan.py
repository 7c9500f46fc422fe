"""Which tasks of learned steering there are, and what their jobs read, as functions of the configuration."""

import json
from typing import Any

from vlmscope.errors import VlmscopeError

# The engine's wildcards; only attribute access is used.
Wildcards = Any

# Settings of a task that each step depends on: a changed one makes only what it decides anew.
READ = ("kind", "prompt", "completions", "context", "module", "context_at", "shift")
TRAIN = (
    *("kind", "validation", "hidden", "start", "learning_rate", "epochs", "batch", "warm_up", "cosine", "worst"),
    *("keep", "seed"),
)
ANSWER = ("kind", "context", "module", "context_at", "shift", "alphas", "prompt", "told", "max_new_tokens", "seed")
JUDGE = ("kind", "phrases", "guard", "seed")


class Tasks:
    """Input and params functions of the rules.

    config   the whole configuration, typed
    """

    def __init__(self, config: Any) -> None:
        self.config = config
        self.tasks = config.xl_vlms.learned.tasks

    @property
    def kinds(self) -> dict[str, str]:
        """Format of the dataset of every task."""
        return {name: self.config.datasets[one.dataset].kind for name, one in self.tasks.items()}

    def of_kind(self, kind: str) -> list[str]:
        """Tasks that are judged in one way."""
        return [name for name, one in self.tasks.items() if one.kind == kind]

    def raw(self, wildcards: Wildcards) -> str:
        """Manifest of a task's dataset."""
        return f"results/data/{self._task(wildcards).dataset}/raw.json"

    def samples(self, wildcards: Wildcards) -> list[str]:
        """Sample tables: what vectors are made from, and what is steered."""
        return [f"results/data/{self._task(wildcards).dataset}/{split}.parquet" for split in ("train", "val")]

    def tested(self, wildcards: Wildcards) -> str:
        """Sample table of what is steered."""
        return self.samples(wildcards)[1]

    def files(self, wildcards: Wildcards) -> list[str]:
        """What judges the responses of a task of safety, where the user has it."""
        task = self._task(wildcards)
        return [path for path in (task.phrases, task.guard) if path]

    def read_settings(self, wildcards: Wildcards) -> str:
        """What states are read, as JSON."""
        one = self._task(wildcards)
        return json.dumps(
            {**self._about(wildcards), "task": self._part(wildcards, READ), "most": [one.train, one.test]}
        )

    def train_settings(self, wildcards: Wildcards) -> str:
        """How the network is trained, as JSON."""
        return json.dumps({"task": self._part(wildcards, TRAIN)})

    def answer_settings(self, wildcards: Wildcards) -> str:
        """What is steered, as JSON."""
        return json.dumps({**self._about(wildcards), "task": self._part(wildcards, ANSWER)})

    def table_settings(self, wildcards: Wildcards) -> str:
        """What the table says of its run, as JSON."""
        about = {"model": wildcards.model, "family": self.config.models[wildcards.model].family}
        return json.dumps({**about, **self._part(wildcards, JUDGE)})

    def _about(self, wildcards: Wildcards) -> dict[str, Any]:
        return {"kind": self.kinds[wildcards.task]}

    def _part(self, wildcards: Wildcards, keys: tuple[str, ...]) -> dict[str, Any]:
        own = self._task(wildcards).model_dump(mode="json")
        return {key: own[key] for key in keys}

    def tables(self, models: list[str]) -> list[str]:
        """Tables of the configured models that are in the list, all tasks."""
        own = [name for name in models if name in self.config.xl_vlms.learned.models]
        return [f"results/xl_vlms/{model}/learned_{task}.csv" for model in own for task in self.tasks]

    def _task(self, wildcards: Wildcards) -> Any:
        if wildcards.task not in self.tasks:
            raise VlmscopeError(f"There is no task '{wildcards.task}'.", where="xl_vlms.learned.tasks")
        return self.tasks[wildcards.task]
