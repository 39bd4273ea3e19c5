#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""`docker build -t dinv .` from the source alone, with the classic builder and with BuildKit, and what comes
out of it. Part of `make soak`: each build installs a compiler and builds all but the kernel, which is the
cache's (images/container/stage says how it is given).
"""

import glob
import os
import re
import shutil

from lib import artefacts
from outer import main
from stories import install_plugin

BUILD_DEADLINE = 2400


class Build:
    def __init__(self, outer):
        self.outer = outer
        self.context = os.path.join(outer.work, 'context')

    def fill_context(self):
        """What .dockerignore lets through, without build directories; and what the cache has."""
        root = artefacts.source_root()
        with open(os.path.join(root, '.dockerignore'), encoding='utf-8') as file:
            names = re.findall('^!(.*)$', file.read(), re.MULTILINE)
        os.mkdir(self.context)
        for name in [*names, 'Dockerfile', '.dockerignore']:
            source, target = os.path.join(root, name), os.path.join(self.context, name)
            if os.path.isdir(source):
                shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns('prebuilt'))
            else:
                shutil.copy2(source, target)
        prebuilt = os.path.join(self.context, 'images', 'prebuilt')
        os.mkdir(prebuilt)
        cache = os.environ.get('DINV_CACHE_DIR') or os.path.expanduser('~/.cache/dinv')
        kernels = glob.glob(os.path.join(cache, 'kernel-*', ''))
        assert kernels, f'no kernel in {cache}; make images builds one'
        for kernel in kernels:
            shutil.copytree(kernel, os.path.join(prebuilt, os.path.basename(kernel.rstrip('/'))))
        if os.environ.get('DINV_ALPINE_TARBALL'):
            shutil.copy2(os.environ['DINV_ALPINE_TARBALL'], prebuilt)

    def build(self, name, buildkit):
        self.outer.docker.environment['DOCKER_BUILDKIT'] = '1' if buildkit else '0'
        done = self.outer.docker.try_('build', '-t', name, '.', cwd=self.context, deadline=BUILD_DEADLINE)
        assert done.status == 0, f'docker build: status {done.status}\n{(done.out + done.err)[-6000:]}'
        return done


def expect_it_works(build, name):
    container, words = build.outer.argv(f'of-{name}', kvm=True, image=name)
    build.outer.docker('run', '--detach', *words)
    container.expect_unprivileged(['/dev/kvm'])
    container.proves_itself()


def classic_builder(build):
    build.fill_context()
    build.build('from-classic', buildkit=False)
    expect_it_works(build, 'from-classic')


def buildkit(build):
    install_plugin(build.outer, 'docker-buildx')
    done = build.build('from-buildkit', buildkit=True)
    assert 'legacy builder' not in done.err, 'this was the classic builder'
    expect_it_works(build, 'from-buildkit')


def body(outer):
    build = Build(outer)
    outer.tap.check(classic_builder, build, deadline=BUILD_DEADLINE + 600)
    outer.tap.check(buildkit, build, deadline=BUILD_DEADLINE + 600)


if __name__ == '__main__':
    main(body)
