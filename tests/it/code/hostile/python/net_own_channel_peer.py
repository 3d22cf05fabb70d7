# expect: CODE_FAILED
# Takes the channel for a socket and sends a descriptor over it.
import socket
socket.socket(fileno=3).sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b'\0\0\0\0')])
