# expect: SUCCESS
# Changes how results are written, which changes its own.
import json
json.dumps = lambda *_, **__: '[]'
result = ['whatever']
