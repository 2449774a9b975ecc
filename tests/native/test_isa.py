"""Every instruction set that this processor has gives the same results; a variable says which is used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.native import isa, operators

AVX2 = "fpu sse2 avx avx2 fma"
AVX512 = f"{AVX2} avx512f avx512bw avx512dq avx512vl"
PROCESSORS = {  # what /proc/cpuinfo says of some: their newest instruction set
    "Core 2": ("fpu sse2 ssse3", "plain"),
    "AVX2 without FMA": ("fpu sse2 avx avx2", "plain"),
    "EPYC 7003": (AVX2, "avx2"),
    "Alder Lake": (f"{AVX2} avx_vnni", "avx2_vnni"),
    "Skylake-X": (AVX512, "avx512"),
    "Knights Landing": (f"{AVX2} avx512f avx512cd", "avx2"),
    "Cascade Lake": (f"{AVX512} avx512_vnni", "avx512_vnni"),
    "EPYC 9004": (f"{AVX512} avx512_vnni avx512_bf16", "avx512_vnni"),
    "Sapphire Rapids": (f"{AVX512} avx_vnni avx512_vnni avx512_bf16 amx_tile amx_int8 amx_bf16", "amx"),
    "Sapphire Rapids whose hypervisor hides AVX-512": (f"{AVX2} avx_vnni amx_tile amx_int8 amx_bf16", "avx2_vnni"),
}


@pytest.fixture
def cpuinfo(tmp_path):
    """Makes a /proc/cpuinfo of two processors with these flags."""

    def make(flags):
        path = tmp_path / "cpuinfo"
        path.write_text(
            f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: spectre_v1\n\nprocessor\t: 1\nflags\t: {flags}\n"
        )
        return path

    return make


@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_newest_instruction_set_is_one_that_the_kernel_permits_as_a_whole(cpuinfo, monkeypatch, processor):
    monkeypatch.delenv(isa.VARIABLE, raising=False)
    flags, newest = PROCESSORS[processor]
    names = isa.available(cpuinfo(flags))
    assert names[0] == "plain" and names[-1] == newest


def test_without_cpuinfo_there_is_the_plain_one(tmp_path, monkeypatch):
    monkeypatch.delenv(isa.VARIABLE, raising=False)
    assert isa.available(tmp_path / "none") == ["plain"]


@pytest.mark.parametrize(
    "cap, newest", [("plain", "plain"), ("avx512", "avx512"), ("amx", "avx512_vnni"), ("", "avx512_vnni")]
)
def test_the_variable_names_the_newest_to_use(cpuinfo, monkeypatch, cap, newest):
    monkeypatch.setenv(isa.VARIABLE, cap)
    assert isa.available(cpuinfo(PROCESSORS["Cascade Lake"][0]))[-1] == newest


def test_an_unknown_name_gets_one_line(monkeypatch, capsys, tiny_run, pairs_file):
    monkeypatch.setenv(isa.VARIABLE, "avx3")
    monkeypatch.setattr(operators, "loaded", operators.loaded.__wrapped__)  # as in a new process
    assert main(["evaluate", str(tiny_run), "--file", str(pairs_file)]) == 2
    complaint = f"{isa.VARIABLE} is 'avx3'; it can be {', '.join(isa.INSTRUCTIONS)}"
    assert capsys.readouterr().err == f"gluonnlp-snli: error: {complaint}\n"


def test_compilers_spell_instructions_in_their_own_way():
    options = isa.compiler_options("amx")
    assert isa.compiler_options("plain") == []
    assert options[:3] == ["-mavx2", "-mfma", "-mavx512f"] and options[-4:-1] == [
        "-mavx512bf16",
        "-mamx-tile",
        "-mamx-int8",
    ]


# The same results -----------------------------------------------------------------------------------------------------

OPERATORS = ("adam", "attention", "dense", "dense_int8", "dense_packed", "dropout", "gelu", "layer_norm")
TESTS = [f"test_{name}.py" for name in OPERATORS]
# How a graph is run has nothing to do with the instructions in it.
SELECTED = "not hybridized and not static"
# Values and gradients of every operator, in every shape, for each instruction set has remainders of its own to get
# wrong; and what is no number. With FUZZ_EXAMPLES in the environment, as `make fuzz` sets it, the other tests too.
if not os.environ.get("FUZZ_EXAMPLES"):
    SELECTED += (
        " and not trainer and (own or formula or clip_factor or alike or mask_of_the_result or keeps_the_share"
        " or exact or values_and_gradients or any_number or every_bit or gelu_is or half_way or the_operator_is"
        " or finite or sums or packed_values or same_bits)"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", isa.available()[:-1])
def test_operators_for_older_processors_pass_the_tests_of_operators(name):
    """In a process of its own, because MXNet takes operators of one name once."""
    files = [str(Path(__file__).parent / file) for file in TESTS]
    options = ["-q", "-n0", "-p", "no:cacheprovider", "-k", SELECTED]
    command = [sys.executable, "-m", "pytest", *options, *files]
    done = subprocess.run(command, env={**os.environ, isa.VARIABLE: name}, capture_output=True, text=True)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout
