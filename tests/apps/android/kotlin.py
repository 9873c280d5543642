"""Compiling and running the Kotlin of the Android app on the JVM, without an Android SDK."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
TESTS = Path(__file__).parent / "core"
COMPILER = Path(__file__).parent / "node_modules" / "kotlin-compiler"
JAVA = Path("/usr/share/java")  # where Debian has its jars
LIBRARIES = [JAVA / f"{name}.jar" for name in ("gson", "junit4", "hamcrest-core")]
LANGUAGE = "2.2"  # of the Kotlin in native/build.gradle.kts


def compiled(sources: list[Path], output: Path, classpath: list[Path]) -> Path:
    """The folder with the classes; warnings are errors."""
    kotlinc = COMPILER / "bin" / "kotlinc"
    assert kotlinc.is_file(), "the Kotlin compiler is not installed; run `npm --prefix tests/apps/android ci`"
    options = [
        "-no-reflect",
        "-jvm-target",
        "17",
        "-Werror",
        "-language-version",
        LANGUAGE,
        "-api-version",
        LANGUAGE,
    ]
    command = [
        "bash",
        str(kotlinc),
        *options,
        "-cp",
        joined(classpath),
        "-d",
        str(output),
        *map(str, sources),
    ]
    java = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx1g"
    run(command, {**os.environ, "JAVA_OPTS": java})
    return output


def command(classes: list[Path], *words: str) -> list[str]:
    """Runs a class of ours."""
    library = COMPILER / "lib" / "kotlin-stdlib.jar"
    return [
        "java",
        "-XX:TieredStopAtLevel=1",
        f"-Dfewstep.data={ROOT / 'tests' / 'data'}",
        "-cp",
        joined([*classes, *LIBRARIES, library]),
        *words,
    ]


def stubs(folder: Path) -> Path:
    """The classes of stubs.txt: Android's and ONNX Runtime's signatures."""
    text = Path(__file__).with_name("stubs.txt").read_text(encoding="utf-8")
    sources = []
    for part in text.split("// file: ")[1:]:
        path, content = part.split("\n", 1)
        sources.append(folder / "sources" / path)
        sources[-1].parent.mkdir(parents=True, exist_ok=True)
        sources[-1].write_text(content, encoding="utf-8")
    run(["javac", "-d", str(folder / "classes"), *map(str, sources)])
    return folder / "classes"


def joined(paths: list[Path]) -> str:
    return os.pathsep.join(map(str, paths))


def run(words: list[str], environment: dict[str, str] | None = None) -> str:
    """Standard output of a command that must succeed."""
    assert shutil.which(words[0]), f"{words[0]} is not installed; run tools/install.sh"
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
