# expect: CODE_FAILED
# Speaks to the machine below.
import socket
socket.socket(40, socket.SOCK_STREAM)
