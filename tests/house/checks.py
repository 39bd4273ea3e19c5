# SPDX-License-Identifier: MIT
"""The rules of the house, each a function from a House to the complaints about it, one a line.

The rules are said in docs/architecture.md, "Rooms", and in CONTRIBUTING.md, "Style".
"""

import re
import textwrap

from source import COMMENT, ROOM_SENTENCE, folder_of, program_of

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
COLUMNS_MAX = 100

PAGE = "docs/architecture.md"
ORDER_BEGIN = "<!-- The order of the rooms; tests/house/test-house.py --print writes it. -->"
ORDER_END = "<!-- The end of the order. -->"
ROOMS = "## Rooms"
QUESTIONS = "## Where do I look for …"
QUESTIONS_MIN = 30

SPDX = "SPDX-License-Identifier: MIT"
PATH_ENDINGS = r"\.(?:c|h|py|sh|md|build)"
# Corpora are bytes, and this test names files that do not exist.
NO_TEXTS = ("tests/fuzz/corpus/", "tests/house/")


def every_file_lies_in_a_room(house):
    for path in house.tree.c_files(tests=False):
        room = house.room_of(path)
        if room is None and not house.is_main(path):
            yield f"{path}: lies in no room: its folder has no static library in a meson.build"
        elif path.endswith(".c") and f"'{path.rpartition('/')[2]}'" not in house.tree.meson(
                folder_of(path)):
            yield f"{path}: is not built: {folder_of(path)}/meson.build does not name it"


def every_include_is_found(house):
    for path, name in house.includes():
        if name in house.tree.files or house.is_main(path) and house.tree.has(name):
            continue
        # One that the build makes is an `output:` of the folder's meson.build.
        if f"'{name.rpartition('/')[2]}'" not in house.tree.meson(folder_of(name)):
            yield f"{path}: includes \"{name}\", which is no path from the top of the tree"


def no_include_goes_up(house):
    for (room, other), paths in sorted(house.arrows().items()):
        if house.place[other] > house.place[room]:
            for path in paths:
                yield f"{path}: includes from {other}, which comes after {room}"
    for path, name in house.includes():
        if house.is_main(name) or (house.room_of(path) and folder_of(name) in house.programs):
            yield f"{path}: includes \"{name}\" of the program above it"


def no_program_includes_another(house):
    for path, name in house.includes():
        other = program_of(name)
        if other in house.programs and program_of(path) != other:
            yield f"{path}: includes \"{name}\" of the program {other}"


def rooms_form_no_cycle(house):
    """The arrows are followed depth first; one that leads back to the way gone so far is a cycle."""
    below = {room: [] for room in house.rooms}
    for room, other in sorted(house.arrows()):
        below[room].append(other)
    done, found = set(), []

    def follow(room, way):
        if room in way:
            found.append(" → ".join(way[way.index(room):] + [room]))
        elif room not in done:
            for other in below[room]:
                follow(other, way + [room])
            done.add(room)

    for room in house.rooms:
        follow(room, [])
    return found


def order_of(house):
    """The lines that docs/architecture.md shows: the lowest room first."""
    groups = {}
    for room in house.rooms:
        program = program_of(room) if program_of(room) in house.programs else ""
        groups.setdefault(program, []).append(room)
    lines = []
    for program in [""] + house.programs:
        rooms = groups.get(program, [])
        names = [room[len(program) + 1:] if program else room for room in rooms]
        title = f"{program}/" if program else "for all"
        lines += textwrap.wrap(
            " → ".join(names + ["main.c"] if program else names), 84, break_long_words=False,
            break_on_hyphens=False, initial_indent=f"{title:<12}", subsequent_indent=" " * 12)
    return lines


def the_page_shows_the_order(house):
    if PAGE not in house.tree.files:
        return [f"{PAGE} is missing"]
    text = house.tree.text(PAGE)
    if text.count(ORDER_BEGIN) != 1 or ORDER_END not in text.partition(ORDER_BEGIN)[2]:
        return [f"{PAGE}: the order of the rooms is to stand between \"{ORDER_BEGIN}\" and "
                f"\"{ORDER_END}\""]
    shown = text.partition(ORDER_BEGIN)[2].partition(ORDER_END)[0].strip().splitlines()
    wanted = ["```"] + order_of(house) + ["```"]
    if shown != wanted:
        return [f"{PAGE}: shows another order; what tests/house/test-house.py --print writes belongs "
                "between the two comments:"] + wanted
    return []


def every_room_says_what_it_is(house):
    said = {}
    for path in house.tree.c_files(tests=False):
        for comment in COMMENT.findall(house.tree.text(path)):
            for name in ROOM_SENTENCE.findall(re.sub(r"\s*\n \*\s*", " ", comment)):
                said.setdefault(name, []).append(path)
    for room in house.rooms:
        paths = said.pop(room, [])
        if not paths:
            yield f"{room}: none of its files has a comment with \"The room {room}: …\""
        elif len(paths) > 1:
            yield f"{room}: more than one file says \"The room {room}:\": {', '.join(paths)}"
        elif folder_of(paths[0]) != room:
            yield f"{paths[0]}: says what the room {room} is, and lies outside it"
    for name, paths in sorted(said.items()):
        yield f"{paths[0]}: says \"The room {name}:\", and there is no such room"


def every_file_opens_with_a_comment(house):
    for path in house.tree.c_files(tests=False) + house.tree.c_files(tests=True):
        lines = house.tree.text(path).splitlines()
        if not lines or SPDX not in lines[0]:
            yield f"{path}:1: the first line is not \"/* {SPDX} */\""
        elif len(lines) < 2 or not lines[1].startswith("/*"):
            yield f"{path}:2: no comment below the licence says what the file is"


def files_and_lines_are_short(house):
    for path in house.tree.c_files(tests=False) + house.tree.c_files(tests=True):
        lines = house.tree.text(path).splitlines()
        if len(lines) >= FILE_LINES_MAX:
            yield f"{path}: {len(lines)} lines; from {FILE_LINES_MAX} on it is two concerns"
        for number, line in enumerate(lines, 1):
            if len(line) > COLUMNS_MAX:
                yield f"{path}:{number}: {len(line)} columns, more than {COLUMNS_MAX}"


def functions_are_short(house):
    """As clang-format lays them out: from a line that begins a definition to a "}" of its own."""
    for path in house.tree.c_files(tests=False) + house.tree.c_files(tests=True):
        begin = None
        for number, line in enumerate(house.tree.text(path).splitlines(), 1):
            if line == "}" and begin is not None:
                length = number - begin + 1
                if length >= FUNCTION_LINES_MAX:
                    yield f"{path}:{begin}: a function of {length} lines; a screen has fewer than " \
                        f"{FUNCTION_LINES_MAX}"
                begin = None
            elif re.match(r"[A-Za-z_]", line) and not line.endswith(":"):  # a label's line
                begin = number


def every_unit_test_is_run(house):
    named = set()
    for path in house.tree.files:
        if path.endswith("meson.build"):
            named.update(re.findall(r"'([\w/-]+)':", house.tree.meson(folder_of(path))))
    for path in house.tree.c_files(tests=True):
        match = re.fullmatch(r"tests/unit/(.+)/test-([\w-]+)\.c", path)
        if match is None:
            continue
        room, name = match.groups()
        if room not in house.place:
            yield f"{path}: tests a room that does not exist"
        if f"{room}/{name}" not in named:
            yield f"{path}: is not run: no meson.build has '{room}/{name}' in unit_tests"


def rows_of_page(house, section):
    """The cells of each row of the tables in a section of the page, without the heads."""
    if PAGE not in house.tree.files:
        return
    rows = house.tree.text(PAGE).partition(section + "\n")[2].partition("\n## ")[0].splitlines()
    for row, below in zip(rows, rows[1:] + [""]):
        if row.startswith("|") and not row.startswith("|-") and not below.startswith("|-"):
            yield [cell.strip() for cell in row.strip().strip("|").split("|")]


def every_room_has_a_row(house):
    """What it holds, what may not enter, and which of its files to read first; a table a program,
    its rooms in their order."""
    shown = []
    for room, *_, start in rows_of_page(house, ROOMS):
        room = room.strip("`").rstrip("/")
        shown.append(room)
        files = re.findall(r"`([^`]+)`", start)
        if not files:
            yield f"{PAGE}: names no file to start at in {room}/"
        for name in files:
            if not house.tree.has(f"{room}/{name}"):
                yield f"{PAGE}: there is no {room}/{name}"
    if sorted(shown, key=program_of) != sorted(house.rooms, key=program_of):
        both = sorted(set(shown) ^ set(house.rooms)) or ["their order"]
        yield f"{PAGE}: the tables of \"{ROOMS}\" and the tree differ in: {', '.join(both)}"


def every_question_has_a_path(house):
    rows = [(question, re.findall(r"`([^`]+)`", answer))
            for question, answer in rows_of_page(house, QUESTIONS)]
    if len(rows) < QUESTIONS_MIN:
        yield f"{PAGE}: \"{QUESTIONS}\" has {len(rows)} questions, fewer than {QUESTIONS_MIN}"
    for question, paths in rows:
        if len(paths) != 1:
            yield f"{PAGE}: \"{question}\" is answered by {len(paths)} paths, not one"
        for path in paths:
            if not house.tree.has(path):
                yield f"{PAGE}: \"{question}\": there is no {path}"


def paths_in_texts_exist(house):
    """Of this tree's files, as comments, scripts and pages name them from the top; NAME and the like
    stand for something."""
    tops = sorted({path.partition("/")[0] for path in house.tree.files if "/" in path})
    named = re.compile(r"(?<![\w./~$}*-])((?:" + "|".join(map(re.escape, tops)) + r")/[\w./-]*"
                       + PATH_ENDINGS + r")\b(?!\w)")
    for path in sorted(house.tree.files):
        if not path.startswith(NO_TEXTS):
            for number, line in enumerate(house.tree.text(path).splitlines(), 1):
                for name in named.findall(line):
                    # An #include of what the build makes is every_include_is_found()'s.
                    if not (house.tree.has(name) or "#include" in line
                            or re.search(r"[A-Z]{3}", name)):
                        yield f"{path}:{number}: there is no {name}"


def links_of_pages_exist(house):
    for path in sorted(house.tree.files):
        if not path.endswith(".md"):
            continue
        for target in re.findall(r"\]\(([^)#\s]+)", house.tree.text(path)):
            if re.match(r"[a-z]+:", target):
                continue
            parts = folder_of(path).split("/") if folder_of(path) else []
            for part in target.split("/"):
                if part == "..":
                    parts = parts[:-1]
                elif part not in (".", ""):
                    parts = parts + [part]
            if not house.tree.has("/".join(parts)):
                yield f"{path}: links to {target}, which does not exist"


ALL = [
    every_file_lies_in_a_room, every_include_is_found, no_include_goes_up,
    no_program_includes_another, rooms_form_no_cycle, the_page_shows_the_order,
    every_room_says_what_it_is, every_room_has_a_row, every_file_opens_with_a_comment, files_and_lines_are_short,
    functions_are_short, every_unit_test_is_run, every_question_has_a_path, paths_in_texts_exist,
    links_of_pages_exist,
]
