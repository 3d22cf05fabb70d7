# expect: CODE_FAILED
# Fetches from the metadata server of clouds.
import http.client
http.client.HTTPConnection('169.254.169.254', timeout=2).request('GET', '/')
