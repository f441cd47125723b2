//! The definitions that come with the program: the files of `detectors/`, put into the binary when it is built.

use super::Catalog;
use crate::domain::Mistake;

macro_rules! files {
    ($($id:literal)*) => {
        /// Every file of `detectors/`: its name and its text, in the order of the names.
        pub const FILES: &[(&str, &str)] = &[
            $((concat!("detectors/", $id, ".yml"), include_str!(concat!("../../../detectors/", $id, ".yml"))),)*
        ];
    };
}

files! {
    "client_rare_user_agent"
    "domain_dns_tunnel"
    "domain_generated_name"
    "host_bytes_out"
    "host_nxdomain_ratio"
    "host_peer_fan_out"
    "host_port_fan_out"
    "host_rare_process"
    "host_rare_service_port"
    "host_silence"
    "host_syscall_sequence"
    "host_system_file_changed"
    "host_traffic_outlier"
    "log_sequence"
    "pair_beaconing"
    "parent_rare_child"
    "request_payload_outlier"
    "server_error_ratio"
    "source_login_failures"
    "source_password_spray"
    "source_persistent_login_failures"
    "user_file_access_outlier"
    "user_file_deletes_or_renames"
    "user_file_reads"
    "user_host_fan_out"
    "user_login_failures"
    "user_login_session_outlier"
    "user_new_source"
    "user_rare_directory"
    "user_unusual_hour"
}

/// The catalog of the definitions that come with the program.
pub fn catalog() -> Result<Catalog, Vec<Mistake>> {
    Catalog::read(FILES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_every_file_of_the_folder_in_order() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/detectors");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder is there")
            .map(|entry| format!("detectors/{}", entry.expect("readable").file_name().to_string_lossy()))
            .filter(|name| name.ends_with(".yml"))
            .collect();
        found.sort();
        let listed: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, found);
    }

    #[test]
    fn every_definition_is_without_mistakes_and_tells_what_an_operator_needs() {
        let catalog = catalog().unwrap_or_else(|mistakes| {
            let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            panic!("{}", told.join("\n"));
        });
        for compiled in catalog.detectors() {
            let definition = &compiled.definition;
            assert!(definition.techniques().count() > 0, "{}", definition.id);
            assert!(definition.tactics().count() > 0, "{}", definition.id);
            assert!(!definition.falsepositives.is_empty(), "{}", definition.id);
            assert!(definition.description.len() > 60, "{}", definition.id);
        }
    }
}
