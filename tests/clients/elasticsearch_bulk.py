"""Ships documents with the official Elasticsearch client as anybody would: elasticsearch_bulk.py URL TOKEN COUNT."""

import sys

from elasticsearch import AuthenticationException, Elasticsearch, helpers

url, token, count = sys.argv[1], sys.argv[2], int(sys.argv[3])


def documents(client):
    for number in range(count):
        yield {
            "_index": "logs",
            "_source": {
                "@timestamp": f"2026-03-02T09:{number // 60 % 60:02}:{number % 60:02}Z",
                "event": {"category": "authentication", "outcome": "success"},
                "user": {"name": client},
                "source": {"ip": "10.0.0.7"},
            },
        }


clients = {
    "password": Elasticsearch(url, basic_auth=("elastic", token)),
    "bearer": Elasticsearch(url, bearer_auth=token),
    "key": Elasticsearch(url, api_key=("id", token)),
    "packed": Elasticsearch(url, basic_auth=("elastic", token), http_compress=True),
}
for name, client in clients.items():
    assert client.ping()
    assert client.info()["version"]["number"].startswith("8.")
    assert client.cluster.health()["status"] == "green"
    assert client.indices.exists_index_template(name="logs")
    done, errors = helpers.bulk(client, documents(name))
    assert (done, errors) == (count, []), (name, done, errors)

done, errors = helpers.bulk(
    clients["key"],
    [{"_op_type": "delete", "_index": "logs", "_id": 1}, {"_index": "logs", "_id": 2, "_source": {"a": 1}}],
    raise_on_error=False,
)
assert done == 1 and errors[0]["delete"]["status"] == 400, (done, errors)

try:
    Elasticsearch(url, basic_auth=("elastic", "wrong")).info()
except AuthenticationException:
    pass
else:
    raise AssertionError("a wrong password was let in")
print("shipped", count * len(clients))
