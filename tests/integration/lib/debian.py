# SPDX-License-Identifier: MIT
"""A small Debian for containers that need more than busybox, and a server of echoes for it."""

import os
import subprocess
import sys
import tempfile

from . import artefacts
from .tap import BailOut, Skip

DEBIAN = 'dinv-test/debian:latest'
SUITE = 'trixie'

# Answers every datagram, and every byte of every connection, with itself. Perl is in every Debian.
ECHO = r'''
use strict; use warnings; use Socket; use IO::Socket::INET;
$SIG{CHLD} = 'IGNORE'; $SIG{TERM} = sub { exit 0 }; $| = 1;
my $tcp = IO::Socket::INET->new(LocalPort => 80, Listen => 16, ReuseAddr => 1) or die "tcp: $!";
my $udp = IO::Socket::INET->new(LocalPort => 90, Proto => 'udp') or die "udp: $!";
if (!fork) {
    while (defined(my $from = $udp->recv(my $datagram, 65536))) { $udp->send($datagram, 0, $from); }
    exit 1;
}
print "listening\n";
while (my $peer = $tcp->accept) {
    if (!fork) {
        while (sysread($peer, my $bytes, 65536)) {
            my $sent = 0;
            while ($sent < length $bytes) {
                $sent += syswrite($peer, $bytes, length($bytes) - $sent, $sent) // exit 1;
            }
        }
        exit 0;
    }
    close $peer;
}
'''


def cached(name='test-debian', *packages):
    """A small Debian with these packages as a tar file, made once and kept in dinv's cache; None if it cannot be."""
    cache = os.environ.get('DINV_CACHE_DIR') or os.path.join(
        os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'dinv')
    path = os.path.join(cache, f'{name}-{SUITE}-1.tar')
    if os.path.exists(path):
        return path
    os.makedirs(cache, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        made = os.path.join(folder, 'debian.tar')
        without = [f'--dpkgopt=path-exclude=/usr/share/{name}/*'
                   for name in ('man', 'doc', 'locale')]
        include = [f'--include={",".join(packages)}'] if packages else []
        try:
            subprocess.run([artefacts.tool('mmdebstrap'), '--quiet', '--variant=apt', *include, *without,
                            SUITE, made], stdout=sys.stderr, check=True, timeout=600)
        except (BailOut, subprocess.SubprocessError) as error:
            print(f'# no Debian image: {error}', flush=True)
            return None
        os.chmod(made, 0o644)
        os.replace(made, path)
    return path


def prepare():
    return {'DINV_TEST_DEBIAN_TAR': os.environ.get('DINV_TEST_DEBIAN_TAR') or cached()}


def import_to(docker):
    if not os.environ.get('DINV_TEST_DEBIAN_TAR'):
        raise Skip('there is no mmdebstrap to make a Debian image, and no DINV_TEST_DEBIAN_TAR')
    with open(os.environ['DINV_TEST_DEBIAN_TAR'], 'rb') as tar:
        docker('import', '-', DEBIAN, stdin=tar, deadline=300)
