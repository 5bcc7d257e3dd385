"""Whether the hub of pretrained models answers: asked once, and briefly, before a library asks again and again."""

from __future__ import annotations

from pathlib import Path

TIMEOUT = 5.0  # seconds


def local_only(name: str, revision: str | None = None) -> bool:
    """Whether a pretrained model can only be looked for on this machine: its name is no folder, and no hub answers.

    Args:
        name: A folder, or a name on the hub.
        revision: Which version of it.
    """
    if Path(name).exists():
        return False
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        HfApi().model_info(name, revision=revision, timeout=TIMEOUT)
    except (HfHubHTTPError, HFValidationError):  # an answer: what it means, the library says better
        return False
    except Exception:  # each library of the web has errors of its own for none
        return True
    return False
