"""Uses a workspace through the gateway with paramiko, as a program would. Ends with the word ok."""

import hashlib
import os
import sys
import threading

import paramiko

user = os.environ.get("WORKSPACE", "work")
port, key, known_hosts, echo, folder = int(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4]), sys.argv[5]


def connect():
    client = paramiko.SSHClient()
    client.load_host_keys(known_hosts)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    client.connect(
        "127.0.0.1", port=port, username=user, key_filename=key, look_for_keys=False, allow_agent=False
    )
    return client


def run(client, command, said=b"", code=0):
    stdin, stdout, stderr = client.exec_command(command)
    threading.Thread(target=lambda: (stdin.write(said), stdin.channel.shutdown_write())).start()
    out = stdout.read()
    assert stdout.channel.recv_exit_status() == code, stderr.read()
    return out


with connect() as client:
    assert run(client, "echo out; echo err >&2; exit 3", code=3) == b"out\n"
    data = os.urandom(4_000_000)
    assert run(client, "cat", data) == data

    _, stdout, _ = client.exec_command("kill -TERM $$")
    stdout.read()
    assert stdout.channel.recv_exit_status() == -1

    shell = client.invoke_shell(term="xterm", width=91, height=33)
    shell.resize_pty(width=92, height=34)
    shell.sendall(b"stty size; exit 6\n")
    seen = b""
    while more := shell.recv(1000):
        seen += more
    assert b"34 92" in seen, seen
    assert shell.recv_exit_status() == 6

    sftp = client.open_sftp()
    path = os.path.join(folder, "paramiko")
    with sftp.open(path, "wb") as file:
        file.set_pipelined(True)
        file.write(data)
    with sftp.open(path, "rb") as file:
        file.prefetch()
        assert hashlib.sha256(file.read()).digest() == hashlib.sha256(data).digest()
    assert "paramiko" in sftp.listdir(folder)
    sftp.close()

    forward = client.get_transport().open_channel("direct-tcpip", ("localhost", echo), ("127.0.0.1", 1))
    forward.sendall(b"there and back")
    forward.shutdown_write()
    assert forward.makefile("rb").read() == b"there and back"

# New keys while nothing else is under way: paramiko loses its own messages otherwise.
with connect() as client:
    client.get_transport().renegotiate_keys()
    sessions = [client.exec_command(f"echo {number}")[1] for number in range(30)]
    assert [stdout.read() for stdout in sessions] == [b"%d\n" % number for number in range(30)]

stranger = paramiko.SSHClient()
stranger.load_host_keys(known_hosts)
try:
    stranger.connect(
        "127.0.0.1", port=port, username=user, pkey=paramiko.RSAKey.generate(2048), look_for_keys=False,
        allow_agent=False,
    )
    raise SystemExit("a stranger was let in")
except paramiko.AuthenticationException:
    pass
print("ok")
