//! What the process gives up once everything that needs privileges is open: capabilities, writing outside its folders,
//! starting programs, and system calls that it has no use for. Threads that are started afterwards inherit it.

use crate::config::{Config, SinkKind};
use caps::{CapSet, Capability, CapsHashSet};
use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus,
};
use seccompiler::{SeccompAction, SeccompFilter, TargetArch};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is active.
#[derive(Clone, Debug, Default, Serialize)]
pub(in crate::run) struct Confinement {
    /// The capabilities that are left.
    pub(in crate::run) capabilities: Vec<String>,
    /// `full`, `partial`, or why there is none.
    pub(in crate::run) landlock: String,
    /// `on`, or why there is none.
    pub(in crate::run) seccomp: String,
}

/// Gives up what is not needed any more. What the kernel does not offer is left out and told; it stops nothing.
pub(in crate::run) fn confine(config: &Config, data_dir: &Path) -> Confinement {
    if !config.service.confine {
        let off = || "off by configuration".to_owned();
        return Confinement {
            capabilities: held(),
            landlock: off(),
            seccomp: off(),
        };
    }
    // Without new privileges no program that the process could start gets more than it has itself.
    if let Err(error) = rustix::thread::set_no_new_privs(true) {
        tracing::warn!(%error, "the process may still gain privileges");
    }
    if let Err(error) = drop_capabilities(config) {
        tracing::warn!(%error, "capabilities could not be dropped");
    }
    let starts_programs = config.service.inputs.starts_programs();
    Confinement {
        capabilities: held(),
        landlock: restrict_files(config, data_dir, starts_programs)
            .unwrap_or_else(|error| format!("not active: {error}")),
        seccomp: match filter_calls(starts_programs) {
            Ok(()) => "on".to_owned(),
            Err(error) => format!("not active: {error}"),
        },
    }
}

fn held() -> Vec<String> {
    let held = caps::read(None, CapSet::Permitted).unwrap_or_default();
    let mut names: Vec<String> = held.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

/// Root's right to read any log stays where logs are followed.
fn drop_capabilities(config: &Config) -> Result<(), caps::errors::CapsError> {
    let mut kept = CapsHashSet::new();
    if !config.service.inputs.files.is_empty()
        && caps::has_cap(None, CapSet::Permitted, Capability::CAP_DAC_READ_SEARCH)?
    {
        kept.insert(Capability::CAP_DAC_READ_SEARCH);
    }
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    caps::clear(None, CapSet::Inheritable)
}

/// Everything may be read; only the store's folder and those of files that alerts go to may be written.
fn restrict_files(
    config: &Config,
    data_dir: &Path,
    starts_programs: bool,
) -> Result<String, Box<dyn std::error::Error>> {
    let abi = ABI::V4;
    let handled = if starts_programs {
        AccessFs::from_all(abi) & !AccessFs::Execute
    } else {
        AccessFs::from_all(abi)
    };
    let mut written: Vec<PathBuf> = vec![data_dir.to_owned(), PathBuf::from("/dev")];
    for sink in &config.service.sinks {
        if let SinkKind::File { path, .. } = &sink.kind {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            written.push(folder.unwrap_or(Path::new(".")).to_owned());
        }
    }
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(handled)?
        .create()?
        .add_rule(PathBeneath::new(
            PathFd::new("/")?,
            AccessFs::ReadFile | AccessFs::ReadDir,
        ))?;
    for folder in written {
        rules = rules.add_rule(PathBeneath::new(
            PathFd::new(&folder)?,
            AccessFs::from_all(abi) & !AccessFs::Execute,
        ))?;
    }
    Ok(match rules.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => "full".to_owned(),
        RulesetStatus::PartiallyEnforced => "partial: the kernel knows an older form".to_owned(),
        RulesetStatus::NotEnforced => "not active: the kernel does not offer it".to_owned(),
    })
}

/// Refuses, with EPERM, calls that change the system or look into other processes. Not a list of all that is allowed:
/// that would break with each library's next version.
fn filter_calls(starts_programs: bool) -> Result<(), Box<dyn std::error::Error>> {
    let mut calls: Vec<i64> = REFUSED_CALLS.to_vec();
    if !starts_programs {
        calls.extend([libc::SYS_execve, libc::SYS_execveat]);
    }
    let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> =
        calls.into_iter().map(|call| (call, Vec::new())).collect();
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        TargetArch::try_from(std::env::consts::ARCH)?,
    )?;
    let program: seccompiler::BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program)?;
    Ok(())
}

const REFUSED_CALLS: [i64; 36] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsopen,
    libc::SYS_init_module,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];
