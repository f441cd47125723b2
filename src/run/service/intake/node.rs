//! What shippers ask an Elasticsearch node before they send: who it is, whether it is well, and whether the templates,
//! policies and pipelines that they would install are there. Nothing is indexed here, so all of these are there.

use super::Intake;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::sync::Arc;

/// The version of Elasticsearch whose bulk API is spoken.
const VERSION: &str = "8.19.0";
/// A cluster needs an id, and this one is always the same.
const CLUSTER: &str = "c3Rha2VvdXQtc3Rha2VvdQ";

/// The answers of a node.
pub(super) fn routes() -> Router<Arc<Intake>> {
    Router::new()
        .route("/", get(|| async { Json(root()) }))
        .route("/_license", get(|| async { Json(license()) }))
        .route("/_xpack", get(|| async { Json(features()) }))
        .route("/_cluster/health", get(|| async { Json(health()) }))
        .route("/_cluster/health/{index}", get(|| async { Json(health()) }))
        .route("/_nodes/http", get(|| async { Json(nodes()) }))
        .route("/_template/{name}", thing(template))
        .route("/_index_template/{name}", thing(index_template))
        .route("/_component_template/{name}", thing(component_template))
        .route("/_ilm/policy/{name}", thing(policy))
        .route("/_ingest/pipeline/{name}", thing(pipeline))
        .route("/_data_stream/{name}", thing(data_stream))
        .route("/_alias/{name}", thing(alias))
}

/// Something with a name: it is there, and putting it changes nothing.
fn thing(describe: fn(&str) -> Value) -> MethodRouter<Arc<Intake>> {
    let put = || async { Json(json!({ "acknowledged": true })) };
    get(move |Path(name): Path<String>| async move { Json(describe(&name)).into_response() as Response })
        .put(put)
        .post(put)
}

fn root() -> Value {
    json!({
        "name": "stakeout",
        "cluster_name": "stakeout",
        "cluster_uuid": CLUSTER,
        "version": {
            "number": VERSION,
            "build_flavor": "default",
            "build_type": "tar",
            "build_hash": concat!("stakeout-", env!("CARGO_PKG_VERSION")),
            "build_date": "2025-07-23T00:00:00.000000000Z",
            "build_snapshot": false,
            "lucene_version": "9.12.2",
            "minimum_wire_compatibility_version": "7.17.0",
            "minimum_index_compatibility_version": "7.0.0"
        },
        "tagline": "You Know, for Search"
    })
}

fn license() -> Value {
    json!({ "license": {
        "status": "active",
        "uid": "00000000-0000-0000-0000-000000000000",
        "type": "basic",
        "issue_date": "2025-01-01T00:00:00.000Z",
        "issue_date_in_millis": 1_735_689_600_000_u64,
        "max_nodes": 1000,
        "issued_to": "stakeout",
        "issuer": "stakeout",
        "start_date_in_millis": -1
    } })
}

fn features() -> Value {
    let there = json!({ "available": true, "enabled": true });
    let absent = json!({ "available": false, "enabled": false });
    json!({
        "build": { "hash": "unknown", "date": "2025-07-23T00:00:00.000Z" },
        "license": { "uid": "00000000-0000-0000-0000-000000000000", "type": "basic", "mode": "basic", "status": "active" },
        "features": { "ilm": there, "data_streams": there, "monitoring": absent, "security": absent },
        "tagline": "You know, for X"
    })
}

fn health() -> Value {
    json!({
        "cluster_name": "stakeout",
        "status": "green",
        "timed_out": false,
        "number_of_nodes": 1,
        "number_of_data_nodes": 1,
        "active_primary_shards": 0,
        "active_shards": 0,
        "relocating_shards": 0,
        "initializing_shards": 0,
        "unassigned_shards": 0,
        "delayed_unassigned_shards": 0,
        "number_of_pending_tasks": 0,
        "number_of_in_flight_fetch": 0,
        "task_max_waiting_in_queue_millis": 0,
        "active_shards_percent_as_number": 100.0
    })
}

/// Clients that look for more nodes find none.
fn nodes() -> Value {
    json!({ "cluster_name": "stakeout", "nodes": {} })
}

fn template(name: &str) -> Value {
    json!({ name: { "order": 0, "index_patterns": [name], "settings": {}, "mappings": {}, "aliases": {} } })
}

fn index_template(name: &str) -> Value {
    json!({ "index_templates": [{
        "name": name,
        "index_template": { "index_patterns": [name], "composed_of": [], "data_stream": {} }
    }] })
}

fn component_template(name: &str) -> Value {
    json!({ "component_templates": [{ "name": name, "component_template": { "template": {} } }] })
}

fn policy(name: &str) -> Value {
    json!({ name: { "version": 1, "policy": { "phases": {} } } })
}

fn pipeline(name: &str) -> Value {
    json!({ name: { "description": "documents stay as they are", "processors": [] } })
}

fn data_stream(name: &str) -> Value {
    json!({ "data_streams": [{
        "name": name,
        "timestamp_field": { "name": "@timestamp" },
        "indices": [],
        "generation": 1,
        "status": "GREEN",
        "template": name
    }] })
}

fn alias(name: &str) -> Value {
    json!({ name: { "aliases": { name: { "is_write_index": true } } } })
}
