# expect: SUCCESS
# Searches all objects for what is not its own.
import gc
seen = [text for thing in gc.get_objects() if type(thing) is dict for text in thing.values() if type(text) is str]
result = [text[:100] for text in seen if 'postgres://' in text]
