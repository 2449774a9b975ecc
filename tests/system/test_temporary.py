"""Temporary files of processes that are gone are removed, and no others."""

import os
import signal
import threading

import pytest

from gluonnlp_snli_plugin.system.temporary import (
    PREFIX,
    is_temporary,
    remove_abandoned,
    temporary_file,
    temporary_folder,
)


def test_what_is_not_needed_any_more_is_removed(tmp_path):
    with temporary_folder(tmp_path) as folder, temporary_file(folder) as file:
        (folder / "inner").mkdir()
        file.write_text("content")
        assert is_temporary(folder.name) and is_temporary(file.name)
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_moved_stays(tmp_path):
    with temporary_file(tmp_path) as file:
        file.rename(tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("make", [temporary_file, temporary_folder])
def test_what_a_killed_process_has_left_is_removed_by_the_next(tmp_path, make):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with make(tmp_path) as path:
            if path.is_dir():
                (path / "inner").mkdir()
            os.write(writing, path.name.encode())
            signal.pause()
    name = os.read(reading, 100).decode()
    remove_abandoned(tmp_path)
    assert (tmp_path / name).exists()  # its process lives
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with make(tmp_path) as path:
        assert list(tmp_path.iterdir()) == [path]
    os.close(reading)
    os.close(writing)


def test_nothing_else_is_removed(tmp_path):
    names = [f"{PREFIX}.lock", f"{PREFIX}0123456", f"{PREFIX}012345678", f"x{PREFIX}01234567", ".config.json.01234567"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / f"{PREFIX}01234567").symlink_to(tmp_path / names[0])
    os.mkfifo(str(tmp_path / f"{PREFIX}fifofifo"))
    remove_abandoned(tmp_path)
    assert set(names) <= {path.name for path in tmp_path.iterdir()}
    remove_abandoned(tmp_path / "nowhere")


@pytest.mark.parametrize("make", [temporary_file, temporary_folder])
def test_processes_that_make_and_remove_at_once_keep_their_own(tmp_path, make):
    failures = []

    def work():
        try:
            for _ in range(100):
                with make(tmp_path) as path:
                    file = path / "file" if path.is_dir() else path
                    file.write_text("mine")
                    assert file.read_text() == "mine"
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and not list(tmp_path.iterdir())
