#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""The container image as a thing: what its configuration says, that every file in it has a known origin and
every origin its licence, that every program finds its libraries, and that it is as small as README.md says.
Boots nothing.
"""

import json
import os
import re
import subprocess
import tarfile

from lib import artefacts
from lib.tap import contains, equal
from outer import main

# Files over Debian's that are dinv's own.
OWN = re.compile(
    r'usr/bin/dinv|usr/lib/dinv/(dinv-usernet|vmlinux|linux-uml|rootfs\.ext4)|usr/share/doc/dinv/.*|'
    r'usr/local/bin/(dockerd|dockerd-entrypoint\.sh|docker-entrypoint\.sh)|etc/group')
PROGRAMS = {
    'dinv': ['--version'], 'qemu-system-x86_64': ['--version'], 'docker': ['buildx', 'version']}
# Megabytes, compressed: docker:dind has 134, and the second kernel, for hosts without KVM, may have 8.
GOALS = {'with': 190.0, 'without': 142.0}
EVERY_PROGRAM = """
find / -xdev -type f \\( -perm /111 -o -name '*.so*' \\) ! -path '/proc/*' | while read -r file; do
    case $(head -c 4 "$file" | tr -d '\\177') in ELF) ;; *) continue ;; esac
    /lib64/ld-linux-x86-64.so.2 --list "$file" 2>&1 | grep 'not found' | sed "s,^,$file: ,"
    echo checked
done
"""


class Image:
    def __init__(self, outer):
        self.outer = outer
        self.layers = None

    def run(self, *command):
        """A program of the image, alone."""
        return self.outer.docker('run', '--rm', '--network', 'none', '--entrypoint', command[0], self.outer.image,
                                 *command[1:])

    def read(self, path):
        return self.run('cat', path)

    def files_by_layer(self):
        """For each layer the paths of its files and links."""
        if self.layers is None:
            saved = os.path.join(self.outer.work, 'image.tar')
            self.outer.docker('save', '--output', saved, self.outer.image)
            with tarfile.open(saved) as tar:
                manifest = json.load(tar.extractfile('manifest.json'))
                self.layers = []
                for name in manifest[0]['Layers']:
                    with tarfile.open(fileobj=tar.extractfile(name)) as layer:
                        self.layers.append([entry.name for entry in layer if not entry.isdir()])
        return self.layers


def configuration(image):
    config = json.loads(image.outer.docker('image', 'inspect', '--format', '{{json .Config}}', image.outer.image))
    equal((config['Entrypoint'], config.get('Cmd') or []), (['dinv', 'run'], []), 'entry point and command')
    equal(config['StopSignal'], 'SIGTERM', 'stop signal')
    equal(config['Volumes'], {'/var/lib/dinv': {}}, 'volumes')
    equal(config['Healthcheck']['Test'], ['CMD', 'dinv', 'health'], 'health check')
    equal(config.get('User') or '', '', 'user')
    equal(sorted(config['ExposedPorts']), ['2375/tcp', '2376/tcp'], 'ports')
    for variable in ('DINV_MOUNTS=auto', 'DINV_SOCKET_LINK=/var/run/docker.sock',
                     'TESTCONTAINERS_HOST_OVERRIDE=localhost'):
        contains(config['Env'], variable, 'environment')
    labels = {key.removeprefix('org.opencontainers.image.'): value for key, value in config['Labels'].items()}
    for name in ('title', 'description', 'licenses', 'documentation'):
        assert labels[name], f'the label {name} is empty'
    contains(image.run('dinv', '--version'), labels['version'], 'the version on the label')


def every_file_has_an_origin(image):
    """What lies over Debian is of a package that files.txt names, or dinv's own."""
    known = {line.split('\t')[0].lstrip('/') for line in image.read('/usr/share/doc/dinv/files.txt').splitlines()}
    strays = [path for layer in image.files_by_layer()[1:] for path in layer
              if path not in known and not OWN.fullmatch(path)]
    equal(strays, [], 'files that are from nowhere')


def every_origin_is_listed(image):
    """third-party.md has every package of the image and of the guest, with its version and licences."""
    rows = {}
    for line in image.read('/usr/share/doc/dinv/third-party.md').splitlines():
        cells = [cell.strip() for cell in line.strip('|').split(' | ')]
        named = re.fullmatch(r'\[([^]]+)\]\((https://[^)]+)\)', cells[0])
        if named:
            assert len(cells) == 3 and cells[2], f'a row without licences: {line}'
            rows.setdefault(named.group(1), set()).add(cells[1])
    expected = set()
    for name in ('files.txt', 'files-of-the-guest.txt'):
        for line in image.read(f'/usr/share/doc/dinv/{name}').splitlines():
            if not line.startswith('#'):
                expected.add(tuple(line.split('\t')[2:4]))
    expected.update(tuple(line.split()) for line in image.run(
        'dpkg-query', '--showformat', '${Package} ${Version}\n', '--show').splitlines())
    expected.update(packages_of_alpine())
    assert len(expected) > 100, f'only {len(expected)} packages'
    equal([wanted for wanted in sorted(expected) if wanted[1] not in rows.get(wanted[0], ())], [], 'not listed')
    for name in ('linux', 'glibc', 'json-c'):
        assert name in rows, f'{name} is not listed'
    with open(artefacts.kernel(), 'rb') as file:
        release = re.search(rb'Linux version (\d+\.\d+\.\d+)', file.read()).group(1).decode()
    assert any(version.startswith(release) for version in rows['linux']), f'linux is {rows["linux"]}, not {release}'


def packages_of_alpine():
    """Those of the base that the guest's root file system was made of; none when it is Debian's."""
    with tarfile.open(os.path.join(artefacts.build_root(), 'images', 'base.tar')) as tar:
        if './lib/apk/db/installed' not in tar.getnames():
            return set()
        text = tar.extractfile('./lib/apk/db/installed').read().decode()
    return {(re.search('^P:(.*)$', record, re.MULTILINE).group(1),
             re.search('^V:(.*)$', record, re.MULTILINE).group(1)) for record in text.strip().split('\n\n')}


def every_program_finds_its_libraries(image):
    lines = image.run('sh', '-c', EVERY_PROGRAM).splitlines()
    assert lines.count('checked') > 200, f'only {lines.count("checked")} programs and libraries'
    equal([line for line in lines if line != 'checked'], [], 'libraries that are not there')
    for program, words in PROGRAMS.items():
        assert image.run(program, *words), f'{program} {words} says nothing'
    contains(image.run('docker', 'compose', 'version'), 'Docker Compose version', 'docker compose')


def as_small_as_the_readme_says(image):
    program = os.path.join(artefacts.source_root(), 'images', 'container', 'sizes')
    table = subprocess.run([program, image.outer.image], check=True, stdout=subprocess.PIPE, text=True,
                           env={**os.environ, **image.outer.docker.environment}).stdout
    image.outer.tap.say(table)
    rows = dict(re.findall(r'^\| ([^|]+) \| [^|]+ \| ([0-9.]+) MB \|$', table, re.MULTILINE))
    size = {'with': float(re.match(r'([0-9.]+) MB', table).group(1))}
    size['without'] = size['with'] - float(rows['docker buildx']) - float(rows['docker compose'])
    with open(os.path.join(artefacts.source_root(), 'README.md'), encoding='utf-8') as file:
        said = re.search(r'(\d+) MB compressed, (\d+) MB without', re.sub(r'\s+', ' ', file.read()))
    assert said, 'README.md does not say "N MB compressed, N MB without"'
    for what, figure in zip(('with', 'without'), said.groups()):
        assert size[what] <= GOALS[what], f'{size[what]:.1f} MB {what} plugins; the goal is {GOALS[what]}'
        # Packages of Debian's are a little larger or smaller with each update.
        assert abs(size[what] - float(figure)) <= 3, f'{size[what]:.1f} MB {what} plugins; README.md says {figure}'
    with open(os.path.join(artefacts.source_root(), 'docs', 'image.md'), encoding='utf-8') as file:
        page = file.read()
    equal([name for name in rows if f'| {name} |' not in page], [], 'parts that docs/image.md does not explain')


def body(outer):
    image = Image(outer)
    for check in (configuration, every_file_has_an_origin, every_origin_is_listed,
                  every_program_finds_its_libraries, as_small_as_the_readme_says):
        outer.tap.check(check, image)


if __name__ == '__main__':
    main(body)
