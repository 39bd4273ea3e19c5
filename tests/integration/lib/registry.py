# SPDX-License-Identifier: MIT
"""A registry of one image under every name, over HTTP or TLS, which is its own forward proxy for HTTP:
what it is asked as a proxy it answers itself, whatever the host."""

import gzip
import hashlib
import http.server
import json
import ssl
import subprocess
import threading
import urllib.parse

from . import artefacts

MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'
CONFIG = 'application/vnd.docker.container.image.v1+json'
LAYER = 'application/vnd.docker.image.rootfs.diff.tar.gzip'


def digest(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


def image_config(layers):
    """The configuration of an image of these layers (tars) that runs a shell."""
    return json.dumps({
        'architecture': 'amd64', 'os': 'linux', 'config': {'Cmd': ['sh']},
        'rootfs': {'type': 'layers', 'diff_ids': [digest(layer) for layer in layers]}}).encode()


class Image:
    """Manifest, configuration and compressed layers of an image, made of `layers` (tars)."""

    def __init__(self, layers):
        config = image_config(layers)
        packed = [gzip.compress(layer, 1, mtime=0) for layer in layers]
        self.manifest = json.dumps({
            'schemaVersion': 2, 'mediaType': MANIFEST,
            'config': {'mediaType': CONFIG, 'size': len(config), 'digest': digest(config)},
            'layers': [{'mediaType': LAYER, 'size': len(layer), 'digest': digest(layer)}
                       for layer in packed]}).encode()
        self.blobs = {digest(blob): blob for blob in (config, *packed)}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):  # pylint: disable=invalid-name
        url = urllib.parse.urlsplit(self.path)
        self.server.requests.append((url.hostname, url.path))
        kind, _, name = url.path.rpartition('/')
        image = self.server.image
        if url.path == '/v2/':
            self._answer('application/json', b'{}')
        elif kind.endswith('/manifests') and name in ('latest', digest(image.manifest)):
            self._answer(MANIFEST, image.manifest)
        elif kind.endswith('/blobs') and name in image.blobs:
            self._answer('application/octet-stream', image.blobs[name])
        else:
            self.send_error(404)

    do_HEAD = do_GET

    def _answer(self, kind, data):
        self.send_response(200)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(data)))
        self.send_header('Docker-Content-Digest', digest(data))
        self.end_headers()
        if self.command == 'GET':
            self.wfile.write(data)

    def log_message(self, *words):  # pylint: disable=arguments-differ
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):  # clients that do not like our certificate hang up
        pass


class Registry:
    """It listens at `host`, on a port of its own. With `certificate` (a path that gets the certificate,
    self-signed) over TLS. `requests` are (host if it was asked as a proxy, path)."""

    def __init__(self, image, host, certificate=None):
        self.server = _Server((host, 0), _Handler)
        self.server.image = image
        self.server.requests = self.requests = []
        self.port = self.server.server_address[1]
        self.address = f'{host}:{self.port}'
        if certificate:
            key = certificate + '.key'
            subprocess.run(
                [artefacts.tool('openssl'), 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2',
                 '-subj', f'/CN=dinv test {self.address}', '-addext', f'subjectAltName=IP:{host}',
                 '-keyout', key, '-out', certificate], check=True, stderr=subprocess.DEVNULL)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            # Not at accept(), where a silent client would hold up the others.
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def serve(self, image):
        """Has this image from now on."""
        self.server.image = image

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
