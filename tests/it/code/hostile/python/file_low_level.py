# expect: CODE_FAILED
# Opens with the call itself.
import os
result = os.read(os.open(data['file'], os.O_RDONLY), 100).decode()
