"""What is odd about the instances of a series, in sentences: equal ones of many instances are one."""

from __future__ import annotations


class Notices:
    """Collects remarks on instances; to make one again changes nothing."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, str]] = {}

    def add(self, instance: str, text: str, found: str = "") -> None:
        """Remark on an instance.

        Args:
            instance: Its SOP Instance UID.
            text: What is odd and what follows from it, a sentence that any instance could have, without patient text.
            found: What the instance holds, as messages may show it; it may differ from one to the next.
        """
        self._found.setdefault(text, {}).setdefault(instance, found)

    def __len__(self) -> int:
        """How often something was remarked."""
        return sum(max(1, len(instances)) for instances in self._found.values())

    def say(self, sentence: str) -> None:
        """Add a whole sentence."""
        self._found.setdefault(sentence, {})

    def sentences(self) -> list[str]:
        """One for each remark, in the order of their first times; of several instances the first is named."""
        return [_sentence(text, instances) for text, instances in self._found.items()]


def _sentence(text: str, instances: dict[str, str]) -> str:
    if not instances:
        return text
    first, found = next(iter(instances.items()))
    if len(instances) == 1:
        return f"Instance {first}: {text}" + (f" It holds {found}." if found else "")
    return f"{len(instances)} instances: {text} The first is {first}" + (f", which holds {found}." if found else ".")
