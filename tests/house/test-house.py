#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""The test of the house: are the rooms in order, is everything in one, do the pages show it?

    test-house.py            checks the tree, and before that itself on small made-up ones; TAP
    test-house.py --print    writes the order of the rooms as docs/architecture.md shows it
    test-house.py --arrows   writes which room includes which
"""

import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import checks
from source import House, Tree

SHOWN_MAX = 200  # complaints of one check

HEADER = "/* SPDX-License-Identifier: MIT */\n/* {} */\n#pragma once\n"
TABLE = "| | |\n|-|-|\n{0}"
ROOM_ROWS = "".join(f"| `{folder}/` | words | `{name}.h` |\n" for folder, name in (
    ("wire", "wire"), ("low", "low"), ("a/one", "one"), ("a/two", "two"), ("b/one", "one"),
    ("b/two", "two")))
QUESTION_ROWS = "".join(f"| Question {number}? | `low/low.h` |\n"
                        for number in range(checks.QUESTIONS_MIN))
PAGE = "\n".join([
    checks.ROOMS, checks.ORDER_BEGIN, "```", "{order}", "```", checks.ORDER_END,
    TABLE.format(ROOM_ROWS), checks.QUESTIONS, TABLE.format(QUESTION_ROWS)])
SOURCE = "/* SPDX-License-Identifier: MIT */\n/* What it does. */\n"
LIBRARY = "lib = static_library('{0}', '{0}.c')\n"


def sound_tree():
    """The smallest tree with all kinds of rooms: headers alone, for all, of two programs."""
    files = {
        "meson.build": "subdir('low')\nsubdir('a')\nsubdir('b')\nsubdir('tests')\n",
        "wire/wire.h": HEADER.format("The room wire: words."),
        "low/meson.build": LIBRARY.format("low") + "unit_tests += {'low/low': [lib]}\n",
        "low/low.h": HEADER.format("The room low:\n * nothing enters."),
        "low/low.c": SOURCE + '#include "low/low.h"\n#include "wire/wire.h"\n',
        "tests/unit/low/test-low.c": SOURCE + '#include "low/low.h"\n',
        "tests/meson.build": "subdir('unit')\n",
        "tests/house/test-house.py": "",
        checks.PAGE: PAGE,
    }
    for program in "a", "b":
        files[f"{program}/meson.build"] = (
            "subdir('one')\nsubdir('two')\nexe = executable('x', 'main.c')\n")
        files[f"{program}/main.c"] = SOURCE + f'#include "{program}/two/two.h"\n'
        for room in "one", "two":
            name = f"{program}/{room}"
            files[f"{name}/meson.build"] = LIBRARY.format(room)
            files[f"{name}/{room}.h"] = HEADER.format(f"The room {name}: text.")
            files[f"{name}/{room}.c"] = SOURCE + f'#include "{name}/{room}.h"\n'
        files[f"{program}/two/two.c"] += f'#include "{program}/one/one.h"\n#include "low/low.h"\n'
    return files


def complaints_about(files):
    """{name of a check: its complaints} for a tree of these files, made in a scratch directory.

    "{order}" on the page stands for the order that is right."""
    with tempfile.TemporaryDirectory(prefix="dinv test house ") as root:
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        order = "\n".join(checks.order_of(House(Tree(root))))
        with open(os.path.join(root, checks.PAGE), "w", encoding="utf-8") as file:
            file.write(files[checks.PAGE].replace("{order}", order))
        house = House(Tree(root))
        return {check.__name__: list(check(house)) for check in checks.ALL}


def added(path, text):
    return lambda files: files.update({path: files.get(path, "") + text})


def replaced(path, old, new):
    def change(files):
        assert old in files[path], f"{old} is not in {path}"
        files[path] = files[path].replace(old, new)
    return change


LONG_FUNCTION = "void f(int a,\n       int b) {\n" + "    g();\nout:\n" * 29 + "}\n"

# What is broken -> how, the check that must see it, and words of its complaint. Other checks may
# see it as well only where they are named.
BROKEN = {
    "a cycle of two rooms": (
        added("a/one/one.c", '#include "a/two/two.h"\n'),
        {"rooms_form_no_cycle": "a/one → a/two → a/one",
         "no_include_goes_up": "a/one/one.c: includes from a/two, which comes after a/one"}),
    "an include that goes up": (
        added("low/low.h", '#include "a/one/one.h"\n'),
        {"no_include_goes_up": "low/low.h: includes from a/one",
         "no_program_includes_another": "low/low.h: includes \"a/one/one.h\""}),
    "headers that include code's": (
        added("wire/wire.h", '#  include "low/low.h"\n'),
        {"no_include_goes_up": "wire/wire.h: includes from low",
         "rooms_form_no_cycle": "wire → low → wire"}),
    "a program that includes another": (
        added("b/two/two.c", '#include "a/one/one.h"\n'),
        {"no_program_includes_another": "b/two/two.c: includes \"a/one/one.h\" of the program a"}),
    "a file in a folder without meson.build": (
        added("low/deep/stray.c", SOURCE), {"every_file_lies_in_a_room": "low/deep/stray.c: lies"}),
    "a file beside the rooms of a program": (
        added("a/stray.c", SOURCE), {"every_file_lies_in_a_room": "a/stray.c: lies in no room"}),
    "a main.c that is no program's": (
        added("c/main.c", SOURCE), {"every_file_lies_in_a_room": "c/main.c: lies in no room"}),
    "a file that is not built": (
        added("low/left.c", SOURCE), {"every_file_lies_in_a_room": "low/left.c: is not built"}),
    "a library that is commented out": (
        replaced("b/one/meson.build", "lib =", "# lib ="),
        {"every_file_lies_in_a_room": "b/one/one.c: lies in no room",
         "every_room_has_a_row": "differ in: b/one",
         "every_room_says_what_it_is": "there is no such room"}),
    "an include of nothing": (
        added("low/low.c", '#include "low/gone.h"\n'),
        {"every_include_is_found": "low/low.c: includes \"low/gone.h\""}),
    "a path that is relative": (
        added("low/low.c", '#include "low.h"\n'),
        {"every_include_is_found": "low/low.c: includes \"low.h\""}),
    "another order on the page": (
        replaced(checks.PAGE, "{order}", "for all     low → wire"),
        {"the_page_shows_the_order": "for all     wire → low"}),
    "a page without the order": (
        replaced(checks.PAGE, checks.ORDER_END, ""),
        {"the_page_shows_the_order": "is to stand between"}),
    "a room that the page leaves out": (
        replaced(checks.PAGE, "| `a/one/` | words | `one.h` |\n", ""),
        {"every_room_has_a_row": "differ in: a/one"}),
    "a start that does not exist": (
        replaced(checks.PAGE, "| `low/` | words | `low.h` |", "| `low/` | words | `on.h` |"),
        {"every_room_has_a_row": "there is no low/on.h"}),
    "a page with too few questions": (
        replaced(checks.PAGE, "| Question 0? | `low/low.h` |\n", ""),
        {"every_question_has_a_path": "has 29 questions"}),
    "a room that does not say what it is": (
        replaced("a/one/one.h", "The room a/one:", "It is"),
        {"every_room_says_what_it_is": "a/one: none of its files"}),
    "a room that says it twice": (
        replaced("low/low.c", "What it does.", "The room low: again."),
        {"every_room_says_what_it_is": "low: more than one file says"}),
    "a file without a comment": (
        replaced("low/low.c", "/* What it does. */", "int i;"),
        {"every_file_opens_with_a_comment": "low/low.c:2: no comment"}),
    "a test without a licence": (
        replaced("tests/unit/low/test-low.c", "SPDX", "spdx"),
        {"every_file_opens_with_a_comment": "tests/unit/low/test-low.c:1:"}),
    "a file of 500 lines": (
        added("low/low.c", "int i;\n" * 496), {"files_and_lines_are_short": "low/low.c: 500 lines"}),
    "a line of 101 columns": (
        added("low/low.c", "/* " + "ä" * 95 + " */\n"),
        {"files_and_lines_are_short": "low/low.c:5: 101 columns"}),
    "a function of 61 lines": (
        added("low/low.c", LONG_FUNCTION), {"functions_are_short": "a function of 61 lines"}),
    "a test that is not run": (
        added("tests/unit/low/test-other.c", SOURCE), {"every_unit_test_is_run": "'low/other'"}),
    "a test of no room": (
        replaced("low/meson.build", "'low/low':", "'law/law':"),
        {"every_unit_test_is_run": "tests/unit/low/test-low.c: is not run"}),
    "an answer that does not exist": (
        replaced(checks.PAGE, "0? | `low/low.h`", "0? | `low/gone.h`"),
        {"every_question_has_a_path": "there is no low/gone.h",
               "paths_in_texts_exist": "there is no low/gone.h"}),
    "a comment that names what is gone": (
        added("low/low.c", "/* see low/old-name.c */\n"),
        {"paths_in_texts_exist": "low/low.c:5: there is no low/old-name.c"}),
    "a link to nothing": (
        added("docs/tls.md", "[the test](../tests/none.py)\n"),
        {"links_of_pages_exist": "docs/tls.md: links to ../tests/none.py"}),
}

# What looks broken and is not.
SOUND = {
    "a small house": lambda files: None,
    "an include in a comment": added("low/low.c", '/*\n#include "a/one/one.h"\n*/\n'),
    "a header that the build makes": lambda files: (
        added("low/low.c", '#include "low/made.h"\n')(files),
        added("low/meson.build", "custom_target('made', output: 'made.h')\n")(files)),
    "a room in a room": lambda files: (
        replaced(checks.PAGE, "| `a/one/`", "| `low/in/` | | `in.c` |\n| `a/one/`")(files),
        added("low/meson.build", "subdir('in')\n")(files),
        added("low/in/meson.build", LIBRARY.format("in"))(files),
        added("low/in/in.c", SOURCE + '/* The room low/in: more. */\n#include "low/low.h"\n')(files)),
    "what a build directory holds": lambda files: (
        added("out/build.ninja", "")(files), added("out/stray.c", "int i;\n")(files)),
    "a file of 499 lines": added("low/low.c", "int i;\n" * 495),
    "a function of 59 lines": added(
        "low/low.c", "void f(void) {\n" + "    g();\n" * 57 + "}\n"),
}


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def report(self, name, complaints):
        self.count += 1
        self.failed += bool(complaints)
        print(f"{'not ok' if complaints else 'ok'} {self.count} {name}")
        for complaint in complaints[:SHOWN_MAX]:
            print(f"# {complaint}")
        if len(complaints) > SHOWN_MAX:
            print(f"# and {len(complaints) - SHOWN_MAX} more")


def test_broken(tap, name, change, expected):
    files = sound_tree()
    change(files)
    problems = []
    for check, complaints in complaints_about(files).items():
        words = expected.get(check)
        if words is None:
            problems += [f"{check} complains: {complaint}" for complaint in complaints]
        elif not any(words in complaint for complaint in complaints):
            problems.append(f"{check} does not say \"{words}\" but {complaints}")
    tap.report(f"seen: {name}", problems)


def test_itself(tap):
    for name, change in SOUND.items():
        files = sound_tree()
        change(files)
        found = [complaint for some in complaints_about(files).values() for complaint in some]
        tap.report(f"accepted: {name}", found)
    for name, (change, expected) in BROKEN.items():
        test_broken(tap, name, change, expected)


def main(arguments):
    root = os.environ.get("DINV_SOURCE_ROOT") or os.path.dirname(os.path.dirname(sys.path[0]))
    house = House(Tree(root))
    if arguments == ["--print"]:
        print("\n".join(["```", *checks.order_of(house), "```"]))
        return 0
    arrows = sorted(house.arrows())
    if arguments == ["--arrows"]:
        print("\n".join(f"{room} → {other}" for room, other in arrows))
        return 0
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    print(f"1..{len(SOUND) + len(BROKEN) + len(checks.ALL)}")
    tap = Tap()
    test_itself(tap)
    print(f"# {len(house.rooms)} rooms, {len(arrows)} arrows between them, in this order:")
    for line in checks.order_of(house):
        print(f"# {line}")
    for check in checks.ALL:
        tap.report(check.__name__.replace("_", " "), list(check(house)))
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
