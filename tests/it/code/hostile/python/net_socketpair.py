# expect: CODE_FAILED
# Makes a pair of sockets.
import socket
socket.socketpair()
