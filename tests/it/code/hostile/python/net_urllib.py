# expect: CODE_FAILED
# Fetches a page.
import urllib.request
result = urllib.request.urlopen('http://127.0.0.1:%d/' % data['port']).read()
