# expect: CODE_FAILED
# Connects to a socket that has a path.
import socket
socket.socket(socket.AF_UNIX).connect(data['socket'])
