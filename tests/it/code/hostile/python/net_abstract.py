# expect: CODE_FAILED
# Connects to a socket that has a name.
import socket
socket.socket(socket.AF_UNIX).connect('\0' + data['abstract'])
