import array, json, os, socket, sys

udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 0))  # it needs a port before it can be registered

runtime = os.environ.get("XDG_RUNTIME_DIR", "/run")
daemon = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
daemon.connect(sys.argv[1] if len(sys.argv) > 1 else runtime + "/resound-icmpd.sock")
passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [udp.fileno()]))]
daemon.sendmsg([b'{"register":"socket"}'], passed)

while line := daemon.recv(4096):
    event = json.loads(line)
    if event["event"] == "registered":
        udp.sendto(b"is anybody there?", ("127.0.0.1", 1))
    elif event["event"] == "icmp":
        sys.exit(f"{event['peer']} failed: {event['reason']} (says {event['origin']}, and may be forged)")
    else:
        print("daemon:", event)
