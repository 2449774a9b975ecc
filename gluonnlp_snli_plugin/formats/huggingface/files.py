"""Where a checkpoint in Hugging Face's layout is, and the JSON files in it."""

import json
import os
import re
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Union

from ...errors import CheckpointError
from ...system.filetypes import describe
from ...system.reading import read_bytes, reading

_LONGEST_NAME = 96  # on the hub


def find_folder(source: Union[str, "os.PathLike[str]"], files: Sequence[str]) -> Path:
    """The folder itself, or where a name on the Hugging Face hub was fetched to.

    Parameters
    ----------
    source : str or Path
    files : sequence of str
        What to fetch of a name; patterns.
    """
    folder = Path(source)
    if os.path.isdir(folder):
        return folder
    is_name = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(source)) and len(str(source)) <= _LONGEST_NAME
    if os.path.exists(folder) or not is_name:
        raise CheckpointError(f"{source} is not a folder: give the folder that holds config.json and model.safetensors")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise CheckpointError(
            f"there is no folder {source}; for a name on the Hugging Face hub: pip install gluonnlp-snli-plugin[hub]"
        ) from None
    try:
        return Path(snapshot_download(str(source), allow_patterns=list(files)))
    except Exception as error:  # huggingface_hub raises many kinds, of its own and of the network's
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"cannot fetch {source} from the Hugging Face hub: {reason}") from None


def read_config(path: Path) -> Dict[str, Any]:
    """The JSON object in a file.

    Raises
    ------
    CheckpointError
    """
    with reading(path, CheckpointError, missing=f"{path} is missing"):
        content = read_bytes(path)
    what: Optional[str] = describe(content)
    if what:
        raise CheckpointError(f"{path} is {what}; JSON is expected")
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON ({error})") from None
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return config
