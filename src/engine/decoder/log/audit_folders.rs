//! Where open folders are. A call such as `unlinkat(4, "a")` names a file relative to an open folder, and the kernel tells
//! neither the folder's path nor, in its place, anything but the working directory. Earlier events do: the folder was opened
//! by the same process under this number, or something was made in a folder with this inode under a whole path.
//!
//! What is not known is not told. A number that was opened anew where no rule looks is taken for the folder that it was;
//! inodes, which the kernel tells with each deed, are asked first. Bound: [`FOLDERS_MAX`] paths of [`PATH_BYTES_MAX`] bytes.

use super::audit_event::{absolute, base_name};
use super::audit_facts::{Facts, Path};
use super::audit_syscall::{Deed, folders as folders_of};
use super::text::number;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

/// How many folders are remembered.
const FOLDERS_MAX: usize = SETS * WAYS;
/// A folder has its place in one of so many sets, of which each forgets what it learned first.
const SETS: usize = 2048;
const WAYS: usize = 4;
/// Longer paths are not remembered.
const PATH_BYTES_MAX: usize = 512;

/// How an event names a folder.
#[derive(Clone, Copy, Debug)]
enum Name<'a> {
    /// By the number under which a process has it open. Its program's name is part of it, because starting another closes.
    Open {
        process_id: u64,
        program: &'a [u8],
        number: u64,
    },
    /// By device and inode.
    Inode { device: &'a [u8], inode: &'a [u8] },
}

/// Paths of folders by name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(u32, Folder)>", into = "Vec<(u32, Folder)>")]
pub(super) struct Folders {
    folders: Vec<Option<Folder>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Folder {
    key: u64,
    path: Box<[u8]>,
}

/// The places that are taken: which of a set it is decides which is forgotten first.
impl From<Folders> for Vec<(u32, Folder)> {
    fn from(folders: Folders) -> Self {
        let places = (0u32..).zip(folders.folders);
        places.filter_map(|(place, folder)| Some((place, folder?))).collect()
    }
}

impl From<Vec<(u32, Folder)>> for Folders {
    fn from(saved: Vec<(u32, Folder)>) -> Self {
        let mut folders = Vec::new();
        folders.resize_with(FOLDERS_MAX, || None);
        for (place, folder) in saved {
            if let Some(slot) = folders.get_mut(place as usize) {
                *slot = Some(folder);
            }
        }
        Folders { folders }
    }
}

impl Folders {
    fn key(node: &[u8], name: Name<'_>) -> u64 {
        match name {
            Name::Open {
                process_id,
                program,
                number,
            } => {
                let mut hash = Xxh3::with_seed(process_id.rotate_left(32) ^ number);
                hash.update(node);
                hash.update(b"\0");
                hash.update(program);
                hash.digest()
            }
            Name::Inode { device, inode } => {
                xxh3_64_with_seed(inode, xxh3_64_with_seed(device, xxh3_64_with_seed(node, 1)))
            }
        }
    }

    /// Remembers where a folder is.
    fn learn(&mut self, node: &[u8], name: Name<'_>, path: &[u8]) {
        if !path.starts_with(b"/") || path.len() > PATH_BYTES_MAX {
            self.forget(node, name);
            return;
        }
        if self.folders.is_empty() {
            self.folders.resize_with(FOLDERS_MAX, || None);
        }
        let key = Self::key(node, name);
        let set = self.set(key);
        let held = set
            .iter()
            .position(|folder| folder.as_ref().is_some_and(|folder| folder.key == key));
        let place = held.unwrap_or(WAYS - 1);
        if let Some(upto) = set.get_mut(..=place) {
            upto.rotate_right(1);
        }
        match set.first_mut() {
            Some(Some(folder)) if folder.key == key && *folder.path == *path => {}
            Some(first) => *first = Some(Folder { key, path: path.into() }),
            None => {}
        }
    }

    fn set(&mut self, key: u64) -> &mut [Option<Folder>] {
        let begin = key as usize % SETS * WAYS;
        self.folders.get_mut(begin..begin + WAYS).unwrap_or_default()
    }

    /// The folder is no more, or is not where it was.
    fn forget(&mut self, node: &[u8], name: Name<'_>) {
        let key = Self::key(node, name);
        for folder in self.set(key) {
            if folder.as_ref().is_some_and(|folder| folder.key == key) {
                *folder = None;
            }
        }
    }

    /// Where a folder is, if that was told.
    fn path(&self, node: &[u8], name: Name<'_>) -> Option<&[u8]> {
        let key = Self::key(node, name);
        let begin = key as usize % SETS * WAYS;
        let mut set = self.folders.get(begin..begin + WAYS)?.iter().flatten();
        Some(&set.find(|folder| folder.key == key)?.path)
    }
}

/// Where a name stands: relative to which open folder, and which of the event's PARENT records is its folder's.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The number of the open folder; nothing for the working directory.
    folder: Option<u64>,
    parent: Option<&'a Path<'a>>,
}

/// The places of a call's one or two names.
pub(super) fn places<'a>(facts: &'a Facts<'a>, call: &[u8], deed: Deed) -> [Place<'a>; 2] {
    // The lower half of the argument is the number; AT_FDCWD is -100.
    let folder = |index: Option<usize>| {
        let argument = (*facts.arguments.get(index?)?)? & 0xffff_ffff;
        (argument < 0x8000_0000).then_some(argument)
    };
    let [first, second] = folders_of(call).map(folder);
    let mut parents = facts.paths.iter().filter(|path| path.kind == b"PARENT");
    let before = parents.next();
    let (first_parent, second_parent) = match deed {
        Deed::Rename => (before, parents.next()),
        // Only what is made has a folder that changes.
        Deed::Link => (None, before),
        _ => (before, None),
    };
    [
        Place {
            folder: first,
            parent: first_parent,
        },
        Place {
            folder: second,
            parent: second_parent,
        },
    ]
}

/// A file's path, and whether it is known to be whole.
pub(super) struct Whole {
    pub(super) path: Vec<u8>,
    is_sure: bool,
}

/// A name's path: by its folder's inode, else by the number of its open folder, else from the working directory.
pub(super) fn whole_path(
    facts: &Facts<'_>,
    path: &Path<'_>,
    place: Place<'_>,
    (node, folders): (&[u8], &Folders),
) -> Whole {
    let name = path.name.as_deref().unwrap_or_default();
    let directory = facts.working_directory.as_deref().unwrap_or_default();
    let Some(number) = place.folder.filter(|_| !name.starts_with(b"/")) else {
        let path = absolute(directory, name);
        let is_sure = path.starts_with(b"/");
        return Whole { path, is_sure };
    };
    let by_inode = place
        .parent
        .and_then(inode_of)
        .and_then(|name| folders.path(node, name));
    if let Some(folder) = by_inode {
        let path = absolute(folder, base_name(name));
        return Whole { path, is_sure: true };
    }
    let by_number = open_folder(facts, number).and_then(|name| folders.path(node, name));
    Whole {
        path: absolute(by_number.unwrap_or(directory), name),
        is_sure: by_number.is_some(),
    }
}

fn inode_of<'a>(path: &'a Path<'_>) -> Option<Name<'a>> {
    Some(Name::Inode {
        device: path.device?,
        inode: path.inode?,
    })
}

fn open_folder<'a>(facts: &'a Facts<'_>, number: u64) -> Option<Name<'a>> {
    Some(Name::Open {
        process_id: facts.process_id?,
        program: facts.command.as_deref().unwrap_or_default(),
        number,
    })
}

/// Remembers what a deed tells of folders: the one that was opened, made, moved or removed, and the one that the file is in.
pub(super) fn learn_folders(
    facts: &Facts<'_>,
    deed: Deed,
    (path, place): (&Path<'_>, Place<'_>),
    whole: &Whole,
    (node, folders): (&[u8], &mut Folders),
) {
    let is_folder = path.mode.is_some_and(|mode| mode & 0o170_000 == 0o040_000) && path.kind != b"DELETE";
    let mut learn = |name: Option<Name<'_>>, path: Option<&[u8]>| match (name, path) {
        (Some(name), Some(path)) => folders.learn(node, name, path),
        (Some(name), None) => folders.forget(node, name),
        (None, _) => {}
    };
    let itself = Some(&*whole.path).filter(|_| whole.is_sure && is_folder);
    // What has taken the number of a folder that was closed is not that folder any more.
    if let (Deed::Open { .. }, Some(opened)) = (deed, facts.exit.and_then(number)) {
        learn(open_folder(facts, opened), itself);
    }
    if itself.is_some() || path.kind == b"DELETE" {
        learn(inode_of(path), itself);
    }
    if whole.is_sure {
        let end = whole.path.len().saturating_sub(base_name(&whole.path).len() + 1);
        let parent = whole.path.get(..end).filter(|parent| !parent.is_empty());
        learn(place.parent.and_then(inode_of), parent.or(Some(b"/")));
    }
}
