//! A disk that remembers what was synced: replays the system calls that a process made, and says
//! what a power cut would leave of its files at any moment.
//!
//! It promises no more than POSIX does. The content of a file is durable as of its last `fsync`,
//! the names in a folder as of the folder's. Of everything later nothing may be there, all of it, or
//! any part: single sectors of a write, one name and not the one before it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Component, Path};

/// The smallest part of a file that is written whole.
const SECTOR: usize = 512;

/// A file or a folder, whatever it is called.
type Inode = usize;
/// The folder that was there before everything.
const ROOT: Inode = 0;

/// What a power cut spares of that which was not synced.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Spares {
    Nothing,
    Everything,
    /// Anything, by the luck of this seed.
    Some(u64),
}

/// Something that was done to a file, or to a folder, and not synced yet.
enum Change {
    Write { at: usize, data: Vec<u8> },
    SetLen(usize),
    Name { name: String, inode: Option<Inode> },
}

#[derive(Clone)]
enum Content {
    File(Vec<u8>),
    Folder(BTreeMap<String, Inode>),
}

struct Node {
    durable: Content,
    /// As everybody sees it while there is power.
    current: Content,
    since: Vec<Change>,
}

/// A folder and everything below it.
pub(crate) struct Disk {
    nodes: Vec<Node>,
}

impl Disk {
    pub(crate) fn new() -> Self {
        let mut disk = Self { nodes: Vec::new() };
        disk.add(Content::Folder(BTreeMap::new()));
        disk
    }

    fn add(&mut self, empty: Content) -> Inode {
        self.nodes.push(Node { durable: empty.clone(), current: empty, since: Vec::new() });
        self.nodes.len() - 1
    }

    fn names(&mut self, folder: Inode) -> &mut BTreeMap<String, Inode> {
        match &mut self.nodes[folder].current {
            Content::Folder(names) => names,
            Content::File(_) => panic!("it is not a folder"),
        }
    }

    fn bytes(&mut self, file: Inode) -> &mut Vec<u8> {
        match &mut self.nodes[file].current {
            Content::File(bytes) => bytes,
            Content::Folder(_) => panic!("it is not a file"),
        }
    }

    /// What has this name now.
    pub(crate) fn find(&mut self, path: &Path) -> Option<Inode> {
        let mut at = ROOT;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            at = *self.names(at).get(&*name.to_string_lossy())?;
        }
        Some(at)
    }

    /// Gives a name to something, or takes it away.
    fn name(&mut self, path: &Path, inode: Option<Inode>) {
        let folder = self.find(path.parent().unwrap()).expect("its folder is there");
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match inode {
            Some(inode) => self.names(folder).insert(name.clone(), inode),
            None => self.names(folder).remove(&name),
        };
        self.nodes[folder].since.push(Change::Name { name, inode });
    }

    pub(crate) fn create(&mut self, path: &Path) -> Inode {
        let inode = self.add(Content::File(Vec::new()));
        self.name(path, Some(inode));
        inode
    }

    pub(crate) fn mkdir(&mut self, path: &Path) {
        let inode = self.add(Content::Folder(BTreeMap::new()));
        self.name(path, Some(inode));
    }

    pub(crate) fn link(&mut self, from: &Path, to: &Path) {
        let inode = self.find(from).expect("it is there");
        self.name(to, Some(inode));
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path) {
        self.link(from, to);
        self.name(from, None);
    }

    pub(crate) fn unlink(&mut self, path: &Path) {
        self.name(path, None);
    }

    pub(crate) fn write(&mut self, file: Inode, at: usize, data: Vec<u8>) {
        put(self.bytes(file), at, &data);
        self.nodes[file].since.push(Change::Write { at, data });
    }

    pub(crate) fn set_len(&mut self, file: Inode, len: usize) {
        self.bytes(file).resize(len, 0);
        self.nodes[file].since.push(Change::SetLen(len));
    }

    pub(crate) fn sync(&mut self, inode: Inode) {
        let node = &mut self.nodes[inode];
        node.durable = node.current.clone();
        node.since.clear();
    }

    /// Whether a power cut can leave more than one state.
    pub(crate) fn is_synced(&self) -> bool {
        self.nodes.iter().all(|node| node.since.is_empty())
    }

    /// Writes what a power cut now would leave into the empty folder `to`.
    pub(crate) fn cut(&self, spares: Spares, to: &Path) {
        let mut luck = match spares {
            Spares::Some(seed) => Luck(seed),
            _ => Luck(0),
        };
        self.leave(ROOT, spares, &mut luck, to);
    }

    fn leave(&self, folder: Inode, spares: Spares, luck: &mut Luck, to: &Path) {
        let Content::Folder(names) = self.left(folder, spares, luck) else { return };
        for (name, inode) in names {
            let path = to.join(name);
            match &self.nodes[inode].current {
                Content::Folder(_) => {
                    std::fs::create_dir(&path).unwrap();
                    self.leave(inode, spares, luck, &path);
                }
                Content::File(_) => {
                    if let Content::File(bytes) = self.left(inode, spares, luck) {
                        std::fs::write(&path, bytes).unwrap();
                    }
                }
            }
        }
    }

    fn left(&self, inode: Inode, spares: Spares, luck: &mut Luck) -> Content {
        let node = &self.nodes[inode];
        match spares {
            Spares::Nothing => node.durable.clone(),
            Spares::Everything => node.current.clone(),
            Spares::Some(_) => {
                let mut left = node.durable.clone();
                // Sometimes the newest is more likely to be there, sometimes hardly anything is.
                let odds = luck.below(5);
                for change in &node.since {
                    apply_part(&mut left, change, &mut || luck.below(5) < odds);
                }
                left
            }
        }
    }
}

/// Does as much of it as luck has it.
fn apply_part(content: &mut Content, change: &Change, spared: &mut dyn FnMut() -> bool) {
    match (content, change) {
        (Content::File(bytes), Change::Write { at, data }) => {
            for part in sectors(*at, data.len()) {
                if spared() {
                    put(bytes, part.start, &data[part.start - at..part.end - at]);
                }
            }
        }
        (Content::File(bytes), Change::SetLen(len)) if spared() => bytes.resize(*len, 0),
        (Content::Folder(names), Change::Name { name, inode }) if spared() => {
            match inode {
                Some(inode) => names.insert(name.clone(), *inode),
                None => names.remove(name),
            };
        }
        _ => {}
    }
}

/// The parts of `len` bytes from `at` that lie in different sectors.
fn sectors(at: usize, len: usize) -> impl Iterator<Item = Range<usize>> {
    let end = at + len;
    (at / SECTOR..end.div_ceil(SECTOR)).map(move |n| (n * SECTOR).max(at)..((n + 1) * SECTOR).min(end))
}

/// Bytes that nobody wrote are zero.
fn put(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    if bytes.len() < at + data.len() {
        bytes.resize(at + data.len(), 0);
    }
    bytes[at..at + data.len()].copy_from_slice(data);
}

/// Numbers that look random, always the same for a seed (SplitMix64).
pub(crate) struct Luck(pub(crate) u64);

impl Luck {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

#[test]
fn what_was_synced_stays_and_nothing_else_has_to() {
    let left = |disk: &Disk, spares| {
        let to = tempfile::tempdir().unwrap();
        disk.cut(spares, to.path());
        std::fs::read(to.path().join("a")).ok()
    };
    let mut disk = Disk::new();
    let file = disk.create(Path::new("/a"));
    disk.write(file, 0, vec![1; 600]);
    disk.sync(file);
    assert_eq!(left(&disk, Spares::Nothing), None, "its name was not synced");
    disk.sync(ROOT);
    assert!(disk.is_synced());
    disk.write(file, 500, vec![2; 600]);
    assert_eq!(left(&disk, Spares::Nothing), Some(vec![1; 600]));
    let all = left(&disk, Spares::Everything).unwrap();
    assert_eq!((all[499], all[500], all.len()), (1, 2, 1100));
    // 500..512, 512..1024, 1024..1100: each is there or not.
    let some: std::collections::BTreeSet<_> = (0..200)
        .filter_map(|seed| left(&disk, Spares::Some(seed)))
        .map(|b| (b[500], b.get(512).copied(), b.len()))
        .collect();
    assert!(some.contains(&(2, Some(1), 600)) && some.contains(&(1, Some(2), 1024)), "{some:?}");
    disk.unlink(Path::new("/a"));
    assert_eq!(left(&disk, Spares::Everything), None);
    assert!(left(&disk, Spares::Nothing).is_some());
}
