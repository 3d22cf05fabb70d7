# expect: CODE_FAILED
# Asks for a name, which tells it to others.
import socket
result = socket.gethostbyname('secret.example.com')
