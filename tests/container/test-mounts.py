#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""What the outer container has mounted is in the guest, at its own path: the workspace of a CI job. Over 9p,
and over virtio-fs under a memory limit, as each virtiofsd counts to it, and the guest's shared memory.
"""

import os
import re
import stat

from lib.docker import BUSYBOX
from lib.tap import contains, equal
from lib.waiting import until
from outer import main

WORKSPACE = '/home/jenkins/ws'
ODD = '/odd/a b;c\nd\\:e'
MANY = 40
BUILD = '''#!/bin/sh -e
mkdir -p out/sub
printf 'built by %s in %s\\n' "$(id -u)" "$PWD" > out/result
cp build.sh out/sub/copy && chmod 750 out/sub/copy
ln -s ../result out/sub/link && ln out/result out/hard
'''


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    os.chmod(path, mode)


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


def bind(source, target, readonly=False):
    """Options for the outer `docker run`; as CSV, which takes any path."""
    fields = ['type=bind', f'source={source}', f'target={target}', *(['readonly'] if readonly else [])]
    return ['--mount', ','.join(f'"{field}"' for field in fields)]


class Job:
    """The container of a CI job, and what was mounted into it: nothing of that is in DINV_MOUNTS."""

    def __init__(self, outer, what='job', *limits, **settings):
        self.outer = outer
        self.workspace = outer.mountpoint(outer.volume(what))
        self.work = os.path.join(outer.work, what)
        self.memory = outer.volume(f'{what}-memory', '--opt', 'type=tmpfs', '--opt', 'device=tmpfs')
        write(f'{self.workspace}/build.sh', BUILD, 0o755)
        write(f'{self.work}/conf/setting', 'as it was')
        write(f'{self.work}/netrc', 'first', 0o600)
        write(f'{self.work}/nested/file', 'nested')
        write(f'{self.work}{ODD}/file', 'odd')
        options = [*limits, '--volume', f'{outer.name(what)}:{WORKSPACE}', '--tmpfs', '/scratch',
                   '--volume', f'{self.memory}:/in-memory',
                   *bind(f'{self.work}/conf', '/conf', readonly=True),
                   *bind(f'{self.work}/netrc', '/root/.netrc'),
                   *bind(f'{self.work}/nested', f'{WORKSPACE}/nested'),
                   *bind(f'{self.work}/conf', '/etc/dinv-test'),
                   *bind(f'{self.work}{ODD}', ODD)]
        for number in range(MANY):
            write(f'{self.work}/many/{number}/file', f'number {number}')
            options += bind(f'{self.work}/many/{number}', f'/many/{number}')
        self.container = outer.start(what, options, **settings)

    def shell(self, command, *options):
        return self.container.inner_try('run', '--rm', *options, BUSYBOX, 'sh', '-c', command)


def engine_is_up(job):
    job.container.wait_ready()
    job.container.import_busybox()


def builds_in_the_workspace(job):
    os.chown(job.workspace, 1000, 1000)
    for user, group in ((1000, 1000), (0, 0)):
        job.shell('rm -rf out && ./build.sh', '--user', f'{user}:{group}', '--volume', f'{WORKSPACE}:/src',
                  '--workdir', '/src').expect(0)
        out = f'{job.workspace}/out'
        equal(read(f'{out}/result'), f'built by {user} in /src\n', 'the result, outside')
        for name in ('', '/result', '/sub', '/sub/copy', '/sub/link'):
            status = os.lstat(out + name)
            equal((status.st_uid, status.st_gid), (user, group), f'owner of out{name}')
        equal(stat.S_IMODE(os.stat(f'{out}/sub/copy').st_mode), 0o750, 'mode')
        equal(os.readlink(f'{out}/sub/link'), '../result', 'symbolic link')
        assert os.path.samefile(f'{out}/result', f'{out}/hard'), 'the hard link is another file'


def mounts_within_mounts(job):
    equal(job.shell('cat /src/nested/file && echo new > /src/nested/new', '--volume', f'{WORKSPACE}:/src')
          .expect(0).out, 'nested', 'a mount within the workspace')
    equal(read(f'{job.work}/nested/new'), 'new\n', 'written through it')


def readonly_stays_readonly(job):
    done = job.shell('cat /conf/setting; echo changed > /conf/setting', '--volume', '/conf:/conf')
    equal((done.out, done.status), ('as it was', 1), 'reading, and status of writing')
    contains(done.err, 'Read-only file system', 'its message')
    # Root of the guest, too, gets no further than the mount.
    done = job.container.exec_('dinv', 'shell', 'sh', '-c', 'mount -o remount,rw /conf; echo x > /conf/setting')
    assert done.status != 0, 'the guest wrote to a read-only mount'
    equal(read(f'{job.work}/conf/setting'), 'as it was', 'the file outside')


def file_is_a_copy_that_follows(job):
    argv = ('cat /n', '--volume', '/root/.netrc:/n:ro')
    equal(job.shell(*argv).expect(0).out, 'first', 'the file')
    write(f'{job.work}/netrc', 'second, and longer', 0o600)
    until(lambda: job.shell(*argv).out == 'second, and longer', 30, 'the change of the file')
    assert job.shell('echo x > /n', '--volume', '/root/.netrc:/n').status != 0, 'the copy can be written'
    equal(stat.S_IMODE(os.stat(f'{job.work}/netrc').st_mode), 0o600, 'its mode')
    equal(job.shell('stat -c %a /n', '--volume', '/root/.netrc:/n').expect(0).out.strip(), '600', 'mode inside')


def volume_in_memory(job):
    """A tmpfs of somebody else's; that of `docker run --tmpfs` is left out, and the log has it."""
    equal(job.shell('echo inside > /m/new', '--volume', '/in-memory:/m').expect(0).err, '',
          'complaints')
    equal(job.container.exec_('cat', '/in-memory/new').expect(0).out, 'inside\n', 'what was written there')
    contains(job.container.logs(), '/scratch is not shown in the guest: it is memory of the container', 'the log')


def odd_path(job):
    # With -v a colon would end the path.
    done = job.container.inner_try('run', '--rm', '--mount', f'"type=bind","source={ODD}","target=/o"', BUSYBOX,
                                   'sh', '-c', 'cat /o/file; echo back > /o/new')
    equal(done.expect(0).out, 'odd', 'a file below an odd path')
    equal(read(f'{job.work}{ODD}/new'), 'back\n', 'what was written there')


def forty_mounts(job):
    out = job.shell('cat /many/*/file; for d in /many/*; do echo done > $d/new; done', '--volume',
                    '/many:/many').expect(0).out
    equal(sorted(out.replace('number ', ' ').split()), sorted(str(n) for n in range(MANY)), 'their files')
    for number in range(MANY):
        equal(read(f'{job.work}/many/{number}/new'), 'done\n', f'written to mount {number}')


def left_out(job):
    contains(job.container.logs(), '/etc/dinv-test is not shown in the guest: it would hide /etc of the guest',
             'the log')
    equal(job.container.exec_('dinv', 'shell', 'ls', '-d', '/etc/dinv-test').status, 1, 'ls of what would hide')
    listed = job.container.exec_('dinv', 'status').expect(0).out
    contains(listed, f'{WORKSPACE} -> {WORKSPACE}', 'dinv status')
    contains(listed, '/conf -> /conf (read-only)', 'dinv status')
    for path in ('/scratch', '/var/lib/dinv', '/etc/hosts', f'{WORKSPACE}/nested'):
        assert f' {path} ->' not in listed, f'{path} is a mount of the guest:\n{listed}'


def figure(job, name):
    """Of the container's memory.stat (cgroup v1 and v2), in MiB."""
    done = job.container.exec_('sh', '-c', 'cat /sys/fs/cgroup/memory.stat 2>/dev/null || '
                               'cat /sys/fs/cgroup/memory/memory.stat')
    return int(dict(line.split() for line in done.expect(0).out.splitlines())[name]) >> 20


def shared_memory_goes_back(job):
    """What the guest frees is no longer the container's, although virtiofsd has it mapped, too."""
    servers = [words for _, words in job.container.processes() if 'virtiofsd' in words]
    assert len(servers) > MANY, f'{len(servers)} processes of virtiofsd'
    job.shell('dd if=/dev/zero of=/t/full bs=1M count=300 2>/dev/null && echo full > /src/full && '
              'until [ -e /src/seen ]; do sleep 0.1; done', '--detach', '--tmpfs', '/t:size=400m', '--volume',
              f'{WORKSPACE}:/src').expect(0)
    until(lambda: os.path.exists(f'{job.workspace}/full'), 120, 'a burst inside')
    burst = figure(job, 'shmem')
    assert burst >= 300, f'{burst} MiB of shared memory, with 300 in use inside'
    write(f'{job.workspace}/seen', '')
    until(lambda: figure(job, 'shmem') < burst - 200, 120, f'memory to be given back, of {burst} MiB')
    own = job.container.exec_('sh', '-c', 'cat /proc/[0-9]*/status').out
    own = sum(int(size) for size in re.findall(r'Name:\s+virtiofsd\n(?:.*\n)*?RssAnon:\s+(\d+) kB', own))
    job.outer.tap.say(f'{len(servers)} of virtiofsd, {own} KiB of their own; shared memory {burst} MiB, '
                      f'then {figure(job, "shmem")}')


def stops(job):
    equal(job.container.stop(), 0, 'exit status')
    equal(os.listdir(f'{job.work}/many/0'), ['file', 'new'], 'a directory afterwards')
    job.container.remove()


class Seed:
    """The page of the earlier dinv: with DINV_MOUNTS=/data, and without."""

    def __init__(self, outer):
        self.data = os.path.join(outer.work, 'data')
        write(f'{self.data}/hello.txt', 'Hello world\n')
        self.container = outer.start(
            'seed', [*bind(self.data, '/data'), *bind(self.data, '/not-named')], DINV_MOUNTS='/data')


def seeds_bind_mount(seed):
    container = seed.container
    container.wait_ready()
    container.import_busybox()
    equal(container.inner('run', '--rm', '-v/data:/data', BUSYBOX, 'cat', '/data/hello.txt'), 'Hello world',
          'with DINV_MOUNTS')
    equal(container.inner('run', '--rm', '-v/not-named:/data', BUSYBOX, 'ls', '-A', '/data'), '',
          'what DINV_MOUNTS does not name')
    equal(container.stop(), 0, 'exit status')
    container.remove()


def body(outer):
    job = Job(outer)
    if outer.tap.check(engine_is_up, job):
        for check in (builds_in_the_workspace, mounts_within_mounts, readonly_stays_readonly,
                      file_is_a_copy_that_follows, volume_in_memory, odd_path, forty_mounts, left_out, stops):
            outer.tap.check(check, job)
    outer.tap.check(seeds_bind_mount, Seed(outer))
    job = Job(outer, 'virtiofs', '--memory', '2g', DINV_MOUNT_DRIVER='virtiofs')
    if outer.tap.check(engine_is_up, job, name='virtiofs-engine-is-up'):
        for check in (builds_in_the_workspace, odd_path, forty_mounts, shared_memory_goes_back, stops):
            outer.tap.check(check, job, name=f'virtiofs-{check.__name__.replace("_", "-")}')


if __name__ == '__main__':
    main(body)
