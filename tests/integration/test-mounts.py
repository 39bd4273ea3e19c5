#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: MIT
"""A mount does what POSIX and Linux say, but for what docs/mounts.md lists; the table there is this one. And
it is a workspace: git and tar do their work in it, and both sides see the same thousands of files.

Run as root it boots three times: with all capabilities, with none, and with virtio-fs; as an ordinary user
once. `--files N` (for soak: 20000): how many small files are unpacked, and then over virtio-fs, too.
DINV_UPDATE_GOLDEN=1 writes the table into the page.
"""

import glob
import os
import re
import signal

from lib import artefacts, dinv, disk, workspace
from lib.dinv import run
from lib.docker import Docker
from lib.session import main
from lib.tap import contains, equal
from lib.waiting import Expired, until

# Columns: which file system, and as whom the launcher runs.
ROOT, NO_CAPABILITIES, USER, DISK = '9p, root', '9p, root without capabilities', '9p, ordinary user', 'data disk'
VIRTIOFS, VIRTIOFS_USER = 'virtio-fs, root', 'virtio-fs, ordinary user'
COLUMNS = (ROOT, NO_CAPABILITIES, USER, VIRTIOFS, VIRTIOFS_USER, DISK)

# check of posix.c -> what it says where, and why. All others say ok everywhere.
NINE = (ROOT, NO_CAPABILITIES, USER)
FAILURES = {
    'chown': {NO_CAPABILITIES: 'EPERM', USER: 'EPERM', VIRTIOFS_USER: 'wrong'},
    'lchown': {NO_CAPABILITIES: 'EPERM', USER: 'EPERM', VIRTIOFS_USER: 'wrong'},
    'owner-of-new-files': dict.fromkeys((NO_CAPABILITIES, USER, VIRTIOFS_USER), 'EACCES'),
    'setgid-directory': {NO_CAPABILITIES: 'EPERM', USER: 'EPERM', VIRTIOFS_USER: 'wrong'},
    'rename-noreplace': dict.fromkeys(NINE, 'EINVAL'),
    'rename-exchange': dict.fromkeys(NINE, 'EINVAL'),
    'truncate-unlinked': dict.fromkeys(NINE, 'ENOENT'),
    'tmpfile': dict.fromkeys((*NINE, VIRTIOFS, VIRTIOFS_USER), 'EOPNOTSUPP'),
    'fallocate': dict.fromkeys(NINE, 'EOPNOTSUPP'),
    'xattr-trusted': {**dict.fromkeys(NINE, 'EOPNOTSUPP'), VIRTIOFS: 'EPERM', VIRTIOFS_USER: 'EPERM'},
    'xattr-capability': {**dict.fromkeys(NINE, 'EOPNOTSUPP'), VIRTIOFS_USER: 'EPERM'},
    'fifo': dict.fromkeys(NINE, 'ENXIO'),
    'unix-socket': dict.fromkeys(NINE, 'ENXIO'),
    'device': {ROOT: 'ENXIO', NO_CAPABILITIES: 'EPERM', USER: 'EPERM', VIRTIOFS_USER: 'EPERM'},
}
OWNERS = 'the launcher may not give files away; new ones are its own ("wrong": that is not told)'
SPECIAL = "QEMU 7.2's 9p server touches directories and ordinary files only; a device takes root"
CAUSES = {
    'chown': OWNERS, 'lchown': OWNERS, 'owner-of-new-files': OWNERS, 'setgid-directory': OWNERS,
    'rename-noreplace': '9p has no flags for rename', 'rename-exchange': '9p has no flags for rename',
    'truncate-unlinked': 'the server goes by name', 'tmpfile': 'neither has it',
    'fallocate': '9p has no such message',
    'xattr-trusted': '9p has none; virtiofsd may not', 'xattr-capability': 'what setcap sets; not over 9p, and only root may',
    'fifo': SPECIAL, 'unix-socket': SPECIAL, 'device': SPECIAL,
}

PAGE = os.path.join(artefacts.source_root(), 'docs', 'mounts.md')
BEGIN, END = '<!-- conformance: begin -->\n', '<!-- conformance: end -->\n'


def table():
    lines = [f'| | {" | ".join(COLUMNS)} | |', f'|---|{"---|" * (len(COLUMNS) + 1)}']
    for check, by_column in FAILURES.items():
        cells = [by_column.get(column, 'ok') for column in COLUMNS]
        lines.append(f'| `{check}` | {" | ".join(cells)} | {CAUSES[check]} |')
    return '\n'.join(lines) + '\n'


def page_has_this_table():
    with open(PAGE, encoding='utf-8') as file:
        text = file.read()
    before, _, rest = text.partition(BEGIN)
    found, _, after = rest.partition(END)
    if os.environ.get('DINV_UPDATE_GOLDEN') == '1':
        with open(PAGE, 'w', encoding='utf-8') as file:
            file.write(f'{before}{BEGIN}{table()}{END}{after}')
        return
    equal(found, table(), f'the table in {PAGE}')


def conformance(machine, directory, column):
    """What posix.c says of every check in a new directory of the guest."""
    script = f'mkdir {directory}/posix && /share/posix.bin {directory}/posix; rm -rf {directory}/posix'
    out = machine.verb('shell', 'sh', '-c', script, deadline=240).expect(0).out
    found = dict(line.split() for line in out.splitlines())
    checks = []
    for path in glob.glob(os.path.join(glob.escape(artefacts.HERE), 'posix-*.c')):
        with open(path, encoding='utf-8') as file:
            checks += re.findall(r'^    \{"([a-z-]+)", check_', file.read(), re.MULTILINE)
    equal(sorted(found), sorted(checks), 'the checks that ran')
    failed = {check: result for check, result in found.items() if result != 'ok'}
    equal(failed, {check: by_column[column] for check, by_column in FAILURES.items() if column in by_column},
          f'what failed on {column}')


# Small files, where `make soak` has 20,000.
FILES = 500
# More than the guest's 9p keeps names of (V9FS_REVALIDATE_NAMES), and what it may have of them a moment later.
KNOWN, KNOWN_MOST = 3000, 2500

GIT = '''
export HOME=/tmp
git config --global user.name inside; git config --global user.email inside@example.org
git clone --quiet /origin/repository clone
cd clone
test -z "$(git status --porcelain)"
git fsck --strict
echo 'int inside;' >> src/000/0.c
echo new > new
git add .
git commit --quiet --message inside
test -z "$(git status --porcelain)"
git rev-parse HEAD
'''


class Share:
    """A directory of the test, which the guest has as /share; and another one, /origin, read-only."""

    def __init__(self, session, **settings):
        self.machine = session.machine(**settings)
        self.path = os.path.join(self.machine.directory, 'share')
        os.mkdir(self.path)
        # A guest's root that is an ordinary user outside owns it there.
        os.chmod(self.path, 0o755)
        self.origin = os.path.join(self.machine.directory, 'origin')
        os.mkdir(self.origin)
        # The owner of a workspace is not the test's user.
        os.chmod(self.machine.directory, 0o711)
        self.files = session.options.files or FILES
        self.user = 1000 if os.geteuid() == 0 else os.geteuid()
        self.machine.environment['DINV_MOUNTS'] = f'{self.path}:/share;{self.origin}:/origin:ro'
        with open(os.environ['DINV_TEST_POSIX'], 'rb') as file:
            self.write('posix.bin', file.read())
        os.chmod(self.outside('posix.bin'), 0o755)
        self.machine.boot()
        self.docker = Docker(self.machine.socket, session.work)

    def outside(self, name):
        return os.path.join(self.path, name)

    def write(self, name, data, mode='wb'):
        with open(self.outside(name), mode) as file:
            file.write(data)

    def inside(self, command):
        return self.machine.verb('shell', 'sh', '-c', command, deadline=120).expect(0).out


def changes_are_seen_on_both_sides(share):
    share.write('word', b'first')
    equal(share.inside('cat /share/word'), 'first', 'inside')
    # virtio-fs keeps sizes for a second.
    for text in ('second, and longer', 'x'):
        share.write('word', text.encode())
        until(lambda text=text: share.inside('cat /share/word') == text, 20, f'{text!r} inside')
    share.inside('echo from inside > /share/word; mkdir /share/made')
    with open(share.outside('word'), 'rb') as file:
        equal(file.read(), b'from inside\n', 'outside')
    assert os.path.isdir(share.outside('made')), 'a directory made inside is not there'
    os.rmdir(share.outside('made'))
    until(lambda: share.inside('ls -d /share/made || true') == '', 20, 'the end of a directory removed outside')


def open_file_grows(share):
    """What a program reads that follows a log, and a container that has this one file as a mount."""
    image = share.docker.import_busybox()
    share.write('log', b'one\n')
    share.docker('run', '--detach', '--name', 'follow', '--volume', '/share/log:/log', image,
                 'tail', '-f', '/log')
    until(lambda: share.docker('logs', 'follow') == 'one', 60, 'the first line')
    share.write('log', b'two\n', 'ab')
    until(lambda: share.docker('logs', 'follow') == 'one\ntwo', 60, 'the second line')
    equal(share.docker('exec', 'follow', 'cat', '/log'), 'one\ntwo', 'the file, opened anew')
    share.write('log', b'replaced\n')
    until(lambda: share.docker('exec', 'follow', 'cat', '/log') == 'replaced', 20, 'the file, written anew')
    share.docker('rm', '--force', 'follow')


def run_in_workspace(share, user, directory, command):
    """In a container, which has the workspace as /src."""
    if not share.docker('images', '--quiet', workspace.IMAGE):
        share.docker('import', '-', workspace.IMAGE, stdin=workspace.image_tar(), deadline=180)
    return share.docker.try_('run', '--rm', '--network', 'none', '--user', f'{user}:{user}',
                             '--volume', f'/share/{directory}:/src', '--volume', '/origin:/origin:ro',
                             '--workdir', '/src', workspace.IMAGE, 'sh', '-euc', command, deadline=1800).expect(0)


def make_workspace(share, name, user):
    os.mkdir(share.outside(name))
    os.chown(share.outside(name), user, user)
    return share.outside(name)


def git_works(share):
    """Cloned from another mount, clean on both sides; a commit is seen outside. Its user owns all of it."""
    workspace.make_repository(os.path.join(share.origin, 'repository'), share.files // 4, share.user)
    clone = os.path.join(make_workspace(share, 'git', share.user), 'clone')
    commit = run_in_workspace(share, share.user, 'git', GIT).out.split()[-1]
    equal(workspace.git(clone, 'rev-parse', 'HEAD', user=share.user), commit, 'the commit, outside')
    equal(workspace.git(clone, 'status', '--porcelain', user=share.user), '', 'git status outside')
    workspace.git(clone, 'fsck', '--strict', user=share.user)
    equal(workspace.git(clone, 'diff', '--stat', 'HEAD~', user=share.user).splitlines()[-1].strip(),
          '2 files changed, 2 insertions(+)', 'what the commit changes')
    owners = {entry[2:4] for entry in workspace.view_outside(clone).entries.values()}
    equal(owners, {(share.user, share.user)}, 'owners outside')
    with open(os.path.join(clone, 'src/000/1.c'), 'a', encoding='utf-8') as file:
        file.write('int outside;\n')
    until(lambda: run_in_workspace(share, share.user, 'git', 'git -C clone status --porcelain').out ==
          ' M src/000/1.c\n', 60, 'git status inside of a change made outside')


def thousands_of_files_are_the_same(share):
    """What tar has unpacked inside is what is outside, and what changes outside is so inside."""
    owners = workspace.OWNERS if os.geteuid() == 0 else (share.user,)
    archive = os.path.join(share.origin, 'tree.tar')
    workspace.write_archive(archive, share.files, owners)
    unpacked = make_workspace(share, 'unpacked', owners[0])
    run_in_workspace(share, owners[0], 'unpacked', f'{workspace.TAR} -x -p -f /origin/tree.tar')
    with open(archive, 'rb') as file:
        expect_same(workspace.view_archive(file.read()), workspace.view_outside(unpacked), 'the archive and outside')

    def inside():
        return workspace.view_archive(run_in_workspace(share, owners[0], 'unpacked', workspace.PACK).raw_out)
    expect_same(workspace.view_outside(unpacked), inside(), 'outside and inside')
    workspace.change_some(os.path.join(unpacked, 'tree'), share.files // 20)
    changed, stale = workspace.view_outside(unpacked), []

    def all_changes_are_seen():
        stale[:] = changed.difference(inside())[:20]
        return not stale
    try:
        until(all_changes_are_seen, 60, 'changes made outside to be seen inside')
    except Expired as error:
        raise AssertionError(f'{error}: {stale}') from error


def work_is_done(session, share, prefix=''):
    for check in (git_works, thousands_of_files_are_the_same):
        session.tap.check(check, share, deadline=3600, name=prefix + check.__name__.replace('_', '-'))


def expect_same(first, second, what):
    equal(first.difference(second)[:20], [], f'{what} differ: {len(first.entries)} and {len(second.entries)} entries')


def held_file_changes(share):
    """An open gets what is there now, though somebody in the guest has the file open: written anew with the
    same size, replaced by another, in a directory that is another by now."""
    os.mkdir(share.outside('held'))
    share.write('held/word', b'0000')
    share.inside('sleep 1000 </share/held/word >/dev/null 2>&1 & head -c 4 /share/held/word')
    for number in range(1, 11):
        share.write('held/word', f'{number:04}'.encode(), 'r+b')
        equal(share.inside('cat /share/held/word'), f'{number:04}', 'written anew')
    for number in range(11, 21):
        share.write('held/new', f'{number:05}'.encode())
        os.rename(share.outside('held/new'), share.outside('held/word'))
        equal(share.inside('cat /share/held/word; stat -c " %s" /share/held/word'), f'{number:05} 5\n', 'replaced')
    os.rename(share.outside('held'), share.outside('old'))
    os.mkdir(share.outside('held'))
    share.write('held/word', b'another')
    until(lambda: share.inside('cat /share/held/word') == 'another', 20, 'the directory that took its place')
    share.inside('killall sleep; rm -r /share/held /share/old')


def mounted_file_is_replaced(share):
    """As editors and Kubernetes do it: the container that has it as a mount sees all of the new one, whoever
    asks first, and also when others in the guest have looked the name up since."""
    share.write('conf', b'old')
    image = share.docker.import_busybox()
    share.docker('run', '--detach', '--name', 'reads', '--volume', '/share/conf:/conf', image, 'sleep', '1000')

    def conf(user, command):
        return share.docker('exec', '--user', str(user), 'reads', 'sh', '-c', command)
    equal(conf(0, 'cat /conf'), 'old', 'what the container reads')
    for user, text in ((0, 'newer and longer'), (1000, 'short'), (0, 'shorter'), (2000, 'of another user')):
        share.write('conf.new', text.encode())
        os.rename(share.outside('conf.new'), share.outside('conf'))
        if user:
            equal(share.inside('cat /share/conf'), text, 'what the guest reads')
        equal(conf(user, 'stat -c %s /conf'), str(len(text)), 'its size, in the container')
        equal(conf(user, 'cat /conf'), text, 'what the container reads')
    equal(conf(0, 'cat /conf'), 'of another user', 'what its root reads')
    # Who has the former one open goes on with that.
    share.docker('exec', '--detach', 'reads', 'sh', '-c',
                 'exec 3</conf; touch /held; until [ -e /go ]; do sleep 0.1; done; cat <&3 >/word; mv /word /result')
    until(lambda: 'held' in conf(0, 'ls /'), 60, 'an open file')
    share.write('conf.new', b'the last')
    os.rename(share.outside('conf.new'), share.outside('conf'))
    equal(conf(0, 'cat /conf'), 'the last', 'what is read by a new open')
    conf(0, 'touch /go')
    until(lambda: 'result' in conf(0, 'ls /'), 60, 'what is read by the old one')
    equal(conf(0, 'cat /result; cat /conf'), 'of another userthe last', 'both')
    share.docker('rm', '--force', 'reads')


def other_names_change(share):
    """A second name, a directory: what another name of the guest knows of them does not count."""
    os.mkdir(share.outside('names'))
    share.write('names/a', b'one\n')
    share.inside('sleep 1000 </share/names/a >/dev/null 2>&1 & ln /share/names/a /share/names/b')
    os.remove(share.outside('names/b'))
    equal(share.inside('cat /share/names/b 2>/dev/null || echo gone'), 'gone\n', 'a link that was removed outside')
    equal(share.inside('cd /share/names; ln a b; exec 3<b; cat <&3; echo two >>a; cat <&3; stat -c %s b'),
          'one\ntwo\n8\n', 'what is written through the other name')
    share.inside('mkdir /share/names/d; ls /share/names/d')
    os.rmdir(share.outside('names/d'))
    share.inside('mkdir /share/names/d')
    share.inside('killall sleep; rm -r /share/names')


def known_files_change(share):
    """Nobody uses them any more, the guest keeps what it knows of them, and some thousand more than it may keep:
    what it is asked next is what is outside by then."""
    os.mkdir(share.outside('known'))
    expected = {}
    for number in range(KNOWN):
        share.write(f'known/{number}', b'old\n')
    look = 'cd /share/known && find . ! -name . -exec stat -c "%n %F %a" {} + && find . -type f -exec grep -H . {} +'
    umask = os.umask(0)
    os.umask(umask)
    equal(len(share.inside(look).splitlines()), 2 * KNOWN, 'lines of the first look')
    until(lambda: int(share.inside('grep v9fs_inode /proc/slabinfo').split()[1]) < KNOWN_MOST, 20,
          f'less than {KNOWN_MOST} files in the cache')
    for number in range(KNOWN):
        path, text, kind, mode = share.outside(f'known/{number}'), 'old', 'regular file', 0o666 & ~umask
        match number % 6:
            case 1:
                text = 'new'
                share.write(f'known/{number}', b'new\n', 'r+b')
            case 2:
                text = 'another'
                share.write('known/made', b'another\n')
                os.rename(share.outside('known/made'), path)
            case 3:
                os.remove(path)
                continue
            case 4:
                mode = 0o600
                os.chmod(path, mode)
            case 5:
                kind, mode = 'directory', 0o777 & ~umask
                os.remove(path)
                os.mkdir(path)
        expected[f'./{number}'] = f'{kind} {mode:o}'
        if kind == 'regular file':
            expected[f'./{number}:{text}'] = ''
    seen = dict(line.partition(' ')[::2] for line in share.inside(look).splitlines())
    equal({name: (seen.get(name), expected.get(name)) for name in seen.keys() | expected.keys()
           if seen.get(name) != expected.get(name)}, {}, 'what is seen, and what is there')
    share.inside('rm -r /share/known')


def is_a_good_file_system(share, column):
    conformance(share.machine, '/share', column)


def data_disk_is_a_good_file_system(share):
    conformance(share.machine, '/var/lib/docker', DISK)


def stops(share):
    share.machine.stop()
    share.machine.expect_nothing_left()


def virtiofsd_dies(share):
    """The user is told which mount is gone, containers are stopped, and the disk is clean, though one of
    them waits for the mount forever."""
    machine = share.machine
    image = share.docker.import_busybox()
    loop = 'while :; do cat /share/posix.bin >/dev/null; done'
    share.docker('run', '--detach', '--name', 'waits', '--volume', '/share:/share', image, 'sh', '-c', loop)
    script = 'trap "echo stopped >/kept/word; exit" TERM; echo starts; while :; do sleep 1; done'
    share.docker('run', '--detach', '--name', 'obeys', '--volume', 'kept:/kept', image, 'sh', '-c', script)
    until(lambda: share.docker('logs', 'obeys') == 'starts', 60, 'the trap')
    servers = [pid for pid, words in machine.processes() if 'virtiofsd' in words and share.path in words]
    assert servers, f'there is no virtiofsd: {machine.processes()}'
    os.kill(servers[0], signal.SIGKILL)
    equal(machine.wait_exit(), 125, 'exit status')
    contains(machine.log(), f'virtiofsd, which serves {share.path}, was killed by signal 9; the mount is lost',
             'the log')
    contains(machine.log(), 'the data disk is clean', 'the log')
    image = os.path.join(machine.state_dir, 'data.img')
    disk.expect_clean(image)
    word = run([artefacts.tool('debugfs'), '-R', 'cat /volumes/kept/_data/word', image]).expect(0)
    equal(word.out, 'stopped\n', 'what the other container wrote when it was asked to stop')
    machine.expect_nothing_left()


def without_capabilities(session):
    """A program that is dinv as root without any capability."""
    path = os.path.join(session.work, 'dinv')
    with open(path, 'w', encoding='utf-8') as file:
        file.write('#!/bin/sh\nexec setpriv --bounding-set=-all --inh-caps=-all -- '
                   f'"{artefacts.dinv()}" "$@"\n')
    os.chmod(path, 0o755)
    return path


def refused_without_capabilities(session):
    """User-Mode Linux has no other server of mounts than virtiofsd: they are refused, and never stale."""
    share = session.machine()
    path = os.path.join(share.directory, 'share')
    os.mkdir(path)
    share.environment['DINV_MOUNTS'] = f'{path}:/share'
    contains(share.verb('run').expect(125).err,
             'User-Mode Linux cannot show mounts: virtiofsd of root needs Docker\'s default capabilities; give the',
             'what dinv says')
    share.expect_nothing_left()


def over_9p(session, is_root):
    tap = session.tap
    share = Share(session)
    tap.check(changes_are_seen_on_both_sides, share)
    tap.check(open_file_grows, share)
    tap.check(held_file_changes, share)
    tap.check(mounted_file_is_replaced, share)
    tap.check(other_names_change, share)
    tap.check(known_files_change, share)
    if session.options.files or not session.options.small:
        work_is_done(session, share)
    tap.check(is_a_good_file_system, share, ROOT if is_root else USER)
    tap.check(data_disk_is_a_good_file_system, share)
    tap.check(stops, share)


def over_virtiofs(session, is_uml):
    tap = session.tap
    share = Share(session, MOUNT_DRIVER='virtiofs', SHUTDOWN_TIMEOUT='12')
    tap.check(changes_are_seen_on_both_sides, share, name='virtiofs-changes-are-seen-on-both-sides')
    tap.check(open_file_grows, share, name='virtiofs-open-file-grows')
    if is_uml:
        tap.check(data_disk_is_a_good_file_system, share)
    if session.options.files or is_uml:
        work_is_done(session, share, 'virtiofs-')
    column = VIRTIOFS if os.geteuid() == 0 else VIRTIOFS_USER
    tap.check(is_a_good_file_system, share, column, name='virtiofs-is-a-good-file-system')
    tap.check(virtiofsd_dies, share)


def body(session):
    tap = session.tap
    is_root, is_uml = os.geteuid() == 0, dinv.ACCEL == 'uml'
    if not os.environ.get('ITEST_AS_USER'):
        tap.check(page_has_this_table)
    if not is_uml:
        over_9p(session, is_root)
    if is_root or is_uml:
        over_virtiofs(session, is_uml)
    if not is_root:
        return
    os.environ['DINV_TEST_BINARY'] = without_capabilities(session)
    if is_uml:
        tap.check(refused_without_capabilities, session)
    else:
        share = Share(session)
        tap.check(is_a_good_file_system, share, NO_CAPABILITIES, name='root-without-capabilities')
        tap.check(stops, share, name='root-without-capabilities-stops')


def prepare():
    return {'DINV_TEST_POSIX': os.environ.get('DINV_TEST_POSIX') or
            os.path.join(artefacts.build_root(), 'tests/integration/posix')}


if __name__ == '__main__':
    main(body, prepare)
