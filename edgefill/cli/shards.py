"""Which pictures of a run are this process's, where several processes or machines share one run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import NamedTuple

from edgefill.errors import InputError
from edgefill.limits import LIMITS, shown, whole_number

COUNT = "EDGEFILL_SHARDS"  # how many there are, where what starts them says only which one this is
_SLURM, _KUBERNETES = "SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"
_ALL = "--shard 1/1 takes all pictures, whatever the environment says"


class Shard(NamedTuple):
    """The share ``number``, from 1 on, ``of`` so many."""

    number: int
    of: int
    says: str = "--shard"  # what this was read from

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def is_whole(self) -> bool:
        return self.of == 1

    def takes(self, name: PurePath) -> bool:
        """Whether the picture ``name``, its path below the folder that was given, is in this share.

        Each is in one share. It depends on the bytes of the name alone: on no machine, no order, no version
        of Python, and not on what else lies there.
        """
        if self.is_whole:
            return True
        digest = hashlib.sha256(os.fsencode(name.as_posix())).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number - 1


def shard_of(asked: str, environment: Mapping[str, str], *, of_folder: bool) -> Shard:
    """The share that is ``asked`` for by --shard, such as "3/16", else the one that ``environment`` gives.

    The tasks of a Slurm array and the pods of an indexed Kubernetes job share a run ``of_folder``s; pictures
    that are named one by one are chosen already. What is asked for may not contradict what started this
    process, but for "1/1", which is everything. Raises InputError for that, and for what says too little.
    """
    if asked:
        shard = _parsed(asked)
        if not shard.is_whole:
            _refuse_contradiction(shard, environment)
        return shard
    return _of_environment(environment) if of_folder else Shard(1, 1)


def _parsed(text: str) -> Shard:
    """Of "3/16". Raises InputError."""
    number, _, of = (part.strip() for part in text.partition("/"))
    shard = Shard(whole_number(number) or 0, whole_number(of) or 0)
    if not (1 <= shard.number <= shard.of and LIMITS["shards"].hold(shard.of)):
        raise InputError(
            f"--shard is {shown(text)!r}; expected which one of how many, from 1/N to N/N, such as 3/16; "
            f"N is {LIMITS['shards']}"
        )
    return shard


def _of_environment(environment: Mapping[str, str]) -> Shard:
    """What started this process says; everything where nothing does. Raises InputError."""
    found, count = _started_as(environment), _count(environment)
    if len(found) > 1:
        both = " and ".join(f"{shard.says} for {shard.number}" for shard in found)
        raise InputError(f"the environment has {both}; expected one that says the shard; say it by --shard")
    if not found:
        if count:
            raise InputError(
                f"{COUNT} is {count}, and nothing says which of them this one is; expected {_SLURM} or "
                f"{_KUBERNETES}; say it by --shard, or unset {COUNT}"
            )
        return Shard(1, 1)
    (shard,) = found
    if not shard.of:
        raise InputError(
            f"{shard.says} makes this shard {shard.number}, and nothing says of how many; set {COUNT} to the "
            f"completions of the job, or say both by --shard, such as {shard.number}/16; {_ALL}"
        )
    if shard.number > shard.of or count not in (0, shard.of):
        raise InputError(
            f"{shard.says} makes this shard {shard}, and {COUNT} is {count}; expected as many shards as the "
            f"job has tasks; correct it, or say the shard by --shard; {_ALL}"
        )
    return shard


def _started_as(environment: Mapping[str, str]) -> list[Shard]:
    """What each scheduler says that started this process; ``of`` is 0 where nothing says it."""
    found = []
    if environment.get(_SLURM):
        found.append(_of_slurm(environment))
    if environment.get(_KUBERNETES):
        index = _number(environment, _KUBERNETES)
        found.append(Shard(index + 1, _count(environment), f"{_KUBERNETES}={index}"))
    return found


def _count(environment: Mapping[str, str]) -> int:
    """How many shards there are; 0 where it is not set."""
    return _number(environment, COUNT) if environment.get(COUNT) else 0


def _of_slurm(environment: Mapping[str, str]) -> Shard:
    """Of an array with even steps, such as 1-16 or 0-30:2: of others a task does not know its place."""
    prefix = _SLURM.removesuffix("ID")
    index, first, last, count = (
        _number(environment, prefix + name) for name in ("ID", "MIN", "MAX", "COUNT")
    )
    step = _number(environment, f"{prefix}STEP") if environment.get(f"{prefix}STEP") else 1
    place, rest = divmod(index - first, max(step, 1))
    if rest or not 0 <= place < count or last - first != (count - 1) * step:
        raise InputError(
            f"{_SLURM} is {index}, in an array of {count} tasks from {first} to {last} by steps of {step}, "
            "which does not tell its place among them; expected even steps, such as --array=1-16; "
            f"say the shard by --shard; {_ALL}"
        )
    return Shard(place + 1, count, f"{_SLURM}={index}")


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    number = whole_number(text)
    if number is None:
        found = f"is {shown(text)!r}" if text else "is not set, though others of its kind are"
        raise InputError(f"{name} {found}; expected a whole number; say the shard by --shard; {_ALL}")
    return number


def _refuse_contradiction(asked: Shard, environment: Mapping[str, str]) -> None:
    try:
        found = _started_as(environment)
    except InputError:
        return  # it does not say which share this is
    for started in found:
        if asked.number != started.number or started.of not in (0, asked.of):
            says = f"{started.number}/{started.of}" if started.of else str(started.number)
            raise InputError(
                f"--shard is {asked}, and {started.says} makes this shard {says}; expected the same, counted "
                "from 1 whatever an index begins at; leave --shard out, or unset "
                f"{started.says.partition('=')[0]} if it means something else; {_ALL}"
            )
