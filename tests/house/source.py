# SPDX-License-Identifier: MIT
"""The source tree as the house test sees it: its C files, and the rooms that meson's files name."""

import os
import re

# What another makes or keeps in a checkout: hidden directories, build directories.
BUILD_MARKS = ("meson-private", "build.ninja")

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)
ROOM_SENTENCE = re.compile(r"\bThe room ([\w/-]+):")
MESON_STEP = re.compile(r"subdir\('([^']+)'\)|\b(static_library)\(")


class Tree:
    """All files of a checkout, by path from its top, and the texts of those that were asked for."""

    def __init__(self, root):
        self.root = root
        self.files = set()
        self.folders = set()
        self._texts = {}
        for folder, names, files in os.walk(root):
            here = os.path.relpath(folder, root)
            here = "" if here == "." else here + "/"
            names[:] = [name for name in names if not self._is_foreign(folder, name)]
            self.files.update(here + name for name in files
                              if os.path.isfile(os.path.join(folder, name)))
            self.folders.update(here + name for name in names)

    @staticmethod
    def _is_foreign(folder, name):
        inside = os.path.join(folder, name)
        return (name.startswith(".") and name != ".ci") or name == "__pycache__" or any(
            os.path.exists(os.path.join(inside, mark)) for mark in BUILD_MARKS)

    def text(self, path):
        if path not in self._texts:
            with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as file:
                self._texts[path] = file.read()
        return self._texts[path]

    def has(self, path):
        return path.rstrip("/") in self.files or path.rstrip("/") in self.folders

    def meson(self, folder):
        """The meson.build of a folder without its comments, "" if it has none."""
        path = f"{folder}/meson.build" if folder else "meson.build"
        if path not in self.files:
            return ""
        return re.sub(r"^\s*#.*$", "", self.text(path), flags=re.MULTILINE)

    def c_files(self, tests):
        """The C files, sorted: those of tests/, or all others."""
        return sorted(path for path in self.files
                      if path.endswith((".c", ".h")) and path.startswith("tests/") == tests)


def folder_of(path):
    return path.rpartition("/")[0]


def program_of(room):
    """What is in launcher/ or guest/ belongs to that program; other rooms are for all of them."""
    return room.partition("/")[0]


class House:
    """The rooms in their order. A room is a folder with a static library, or with headers alone."""

    def __init__(self, tree):
        self.tree = tree
        self.programs = []  # top folders with a main.c
        built = []
        self._walk("", built)
        headers = [folder for folder in sorted(tree.folders)
                   if not folder.startswith("tests") and self._is_of_headers(folder)]
        self.rooms = headers + built
        self.place = {room: index for index, room in enumerate(self.rooms)}

    def _walk(self, folder, built):
        """Follows subdir() as meson does; a library's place is that of its static_library()."""
        text = self.tree.meson(folder)
        if "/" not in folder and f"{folder}/main.c" in self.tree.files and "executable(" in text:
            self.programs.append(folder)
        for step in MESON_STEP.finditer(text):
            if step.group(2) is None:
                below = f"{folder}/{step.group(1)}" if folder else step.group(1)
                if below != "tests":
                    self._walk(below, built)
            elif folder and folder not in built:
                built.append(folder)

    def _is_of_headers(self, folder):
        inside = [path for path in self.tree.files if folder_of(path) == folder]
        return (bool(inside) and f"{folder}/meson.build" not in inside
                and all(path.endswith(".h") for path in inside))

    def is_main(self, path):
        return path.endswith("/main.c") and folder_of(path) in self.programs

    def room_of(self, path):
        """The room of a file, None for a program's main.c and for what lies in no room."""
        return folder_of(path) if folder_of(path) in self.place else None

    def includes(self):
        """(file, what it includes) for every #include "…" outside tests/."""
        for path in self.tree.c_files(tests=False):
            # A // in a string is no comment that hides an include; one in /* */ would be.
            for name in INCLUDE.findall(COMMENT.sub("", self.tree.text(path))):
                yield path, name

    def arrows(self):
        """{(room, room it includes): [file, ...]}"""
        arrows = {}
        for path, name in self.includes():
            ends = self.room_of(path), self.room_of(name)
            if None not in ends and ends[0] != ends[1]:
                arrows.setdefault(ends, []).append(path)
        return arrows
