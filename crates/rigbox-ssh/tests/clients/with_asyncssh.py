"""Uses a workspace through the gateway with AsyncSSH, as a program would. Ends with the word ok."""

import asyncio
import os
import sys

import asyncssh

user = os.environ.get("WORKSPACE", "work")
port, key, known_hosts, echo, folder = int(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4]), sys.argv[5]


def connect(**options):
    return asyncssh.connect(
        "127.0.0.1", port, username=user, client_keys=[key], known_hosts=known_hosts, config=None, **options
    )


async def main():
    # Each cipher that both know; keys are renewed all the time.
    for cipher in ["aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"]:
        async with connect(encryption_algs=[cipher], rekey_bytes=1_000_000) as connection:
            data = os.urandom(8_000_000)
            done = await connection.run("cat", input=data, encoding=None, check=True)
            assert done.stdout == data

    async with connect() as connection:
        done = await connection.run("echo out; echo err >&2; exit 3")
        assert (done.stdout, done.stderr, done.exit_status) == ("out\n", "err\n", 3)
        done = await connection.run("kill -TERM $$")
        assert done.exit_signal[0] == "TERM", done.exit_signal

        done = await connection.run("echo $LC_RIGBOX", env={"LC_RIGBOX": "a value"}, check=True)
        assert done.stdout == "a value\n"
        done = await connection.run("stty size", term_type="xterm", term_size=(91, 33), check=True)
        assert done.stdout.strip() == "33 91", done.stdout

        async with connection.start_sftp_client() as sftp:
            path = os.path.join(folder, "asyncssh")
            async with sftp.open(path, "wb") as file:
                await file.write(data)
            async with sftp.open(path, "rb") as file:
                assert await file.read() == data

        for open_connection in [
            connection.open_connection("localhost", echo),
            connection.open_unix_connection(os.path.join(folder, "echo")),
        ]:
            reader, writer = await open_connection
            writer.write(b"there and back")
            writer.write_eof()
            assert await reader.read() == b"there and back"

        async def answer(reader, writer):
            writer.write(await reader.readexactly(18))
            writer.close()

        async with await connection.start_server(lambda *_: answer, "localhost", 0) as server:
            there = f"exec 3<>/dev/tcp/localhost/{server.get_port()}; printf 'from the workspace' >&3; cat <&3"
            done = await connection.run(f"bash -c \"{there}\"", check=True)
            assert done.stdout == "from the workspace", done.stdout

        sessions = [connection.run(f"echo {number}", check=True) for number in range(40)]
        assert [done.stdout for done in await asyncio.gather(*sessions)] == [f"{n}\n" for n in range(40)]

    try:
        await asyncssh.connect(
            "127.0.0.1", port, username=user, known_hosts=known_hosts, config=None,
            client_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        )
        raise SystemExit("a stranger was let in")
    except asyncssh.PermissionDenied:
        pass


asyncio.run(main())
print("ok")
