"""An environment with the wheel of this checkout, as a user would install it, and without the checkout itself.

    python scripts/wheel_env.py VENV

builds an sdist of the files under version control, builds a wheel from that, and installs the wheel into VENV, which is
replaced. All other packages are those of the environment that runs this, so it takes seconds and needs no network.
VENV/checkout is a copy of the checkout without the package, to run the tests in.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = "gluonnlp_snli_plugin"


def tracked_files():
    """The paths of all files of the checkout that git tracks or would track, relative to it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        check=True,
    )
    paths = [Path(name) for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if (CHECKOUT / path).is_file()]


def copy(paths, folder):
    """Copy files of the checkout into `folder`."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / path, folder / path)


def build(kind, source, folder):
    """Build an "sdist" or a "wheel" of the project in `source`; the path of the file made in `folder`."""
    code = "import sys; from setuptools import build_meta; getattr(build_meta, 'build_' + sys.argv[1])(sys.argv[2])"
    done = subprocess.run([sys.executable, "-c", code, kind, folder], cwd=source, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"wheel_env.py: error: {done.stderr.strip().splitlines()[-1]}")
    (made,) = folder.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


def unpack(sdist, folder):
    """Unpack an sdist; the path of the project in it."""
    subprocess.run(["tar", "-xzf", sdist, "-C", folder], check=True)
    (project,) = folder.iterdir()
    return project


def install(wheel, venv):
    """Make `venv` and install `wheel` into it; the path of its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", venv], check=True)
    python = venv / "bin" / "python"
    (site_packages,) = venv.glob("lib/python3*/site-packages")
    # A folder named in a .pth file is searched for modules, but its own .pth files are not read: those of others
    # are copied (setuptools provides distutils by one). Those of an editable install of this project stay out, as do
    # those of namespace packages, which look for them in their own folder.
    others = [path for path in sys.path if path.endswith("-packages")]
    (site_packages / "0-other-packages.pth").write_text("\n".join(others) + "\n")
    for path in (path for folder in others for path in Path(folder).glob("*.pth")):
        is_elsewhere = PACKAGE in path.name or path.name.endswith("-nspkg.pth")
        if not is_elsewhere and not (site_packages / path.name).exists():
            shutil.copy(path, site_packages)
    pip = [python, "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    # --ignore-installed: the metadata of an editable install can be seen from here.
    subprocess.run([*pip, "--ignore-installed", wheel], check=True)
    return python


def main(venv):
    venv = Path(venv).absolute()
    with tempfile.TemporaryDirectory() as folder:
        source, made, unpacked = (Path(folder, name) for name in ("source", "made", "unpacked"))
        unpacked.mkdir()
        copy(tracked_files(), source)
        install(build("wheel", unpack(build("sdist", source, made), unpacked), made), venv)
    copy([path for path in tracked_files() if path.parts[0] != PACKAGE], venv / "checkout")
    shared = CHECKOUT.parent / "shared"
    if shared.exists():  # what tests look for beside the checkout
        (venv / "shared").symlink_to(shared)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
