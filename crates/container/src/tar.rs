//! Tar, as far as images need it: written in one form, so that the same files give the same bytes; read with the
//! extensions that are met in archives of images (long names of GNU and of pax).

use std::io::{self, Read, Seek, SeekFrom};

/// The unit of everything in a tar.
const BLOCK: usize = 512;
/// No name of a file is longer; what claims to be is no archive of an image.
const LONGEST_EXTENSION: u64 = 1024 * 1024;

/// Writes files with their modes, owned by root and without times, in the order in which they come.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// A folder.
    pub(crate) fn folder(&mut self, path: &str) {
        self.header(&format!("{path}/"), b'5', 0o755, 0);
    }

    /// A file.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.header(path, b'0', mode, content.len());
        self.content(content);
    }

    fn content(&mut self, content: &[u8]) {
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
    }

    fn header(&mut self, path: &str, kind: u8, mode: u32, size: usize) {
        if path.len() > 100 {
            // The name in a file of its own, which every reader of images knows.
            let mut name = path.as_bytes().to_vec();
            name.push(0);
            self.block("././@LongLink", b'L', 0o644, name.len());
            self.content(&name);
        }
        self.block(path, kind, mode, size);
    }

    fn block(&mut self, path: &str, kind: u8, mode: u32, size: usize) {
        let mut block = [0_u8; BLOCK];
        let mut put = |at: usize, text: &[u8]| {
            for (to, from) in block[at..].iter_mut().zip(text) {
                *to = *from;
            }
        };
        put(0, path.as_bytes().get(..100).unwrap_or(path.as_bytes()));
        put(100, format!("{mode:07o}").as_bytes());
        put(108, b"0000000");
        put(116, b"0000000");
        put(124, format!("{size:011o}").as_bytes());
        put(136, b"00000000000");
        put(148, b"        ");
        put(156, &[kind]);
        put(257, b"ustar\x0000");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        for (to, from) in block[148..].iter_mut().zip(format!("{sum:06o}\0 ").as_bytes()) {
            *to = *from;
        }
        self.0.extend_from_slice(&block);
    }

    /// The whole.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }
}

/// A file in a tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: String,
    /// Where its content is.
    pub(crate) offset: u64,
    pub(crate) size: u64,
    /// What it leads to, if it is a link.
    pub(crate) link: Option<String>,
}

/// The files and links in a tar.
///
/// # Errors
/// When it cannot be read or is no tar.
pub(crate) fn read(mut from: impl Read + Seek) -> io::Result<Vec<Entry>> {
    let no_tar = |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("this is not a tar: {why}"));
    let end = from.seek(SeekFrom::End(0))?;
    let (mut at, mut entries) = (0_u64, Vec::new());
    let (mut long_name, mut long_link, mut long_size) = (None, None, None);
    loop {
        from.seek(SeekFrom::Start(at))?;
        let mut block = [0_u8; BLOCK];
        match from.read_exact(&mut block) {
            // Some writers leave out the empty blocks at the end.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !entries.is_empty() => return Ok(entries),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(no_tar("it is too short")),
            other => other?,
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(entries);
        }
        let sum: u32 =
            block.iter().enumerate().map(|(n, b)| if (148..156).contains(&n) { 32 } else { u32::from(*b) }).sum();
        if number(&block[148..156]) != Some(u64::from(sum)) {
            return Err(no_tar("a header has a wrong sum"));
        }
        let size =
            long_size.take().or_else(|| number(&block[124..136])).ok_or_else(|| no_tar("a size is no number"))?;
        let offset = at + BLOCK as u64;
        let next = size.checked_next_multiple_of(BLOCK as u64).and_then(|size| offset.checked_add(size));
        let next = next.filter(|_| size <= end.saturating_sub(offset)).ok_or_else(|| no_tar("it is cut off"))?;
        let mut extension = || {
            if size > LONGEST_EXTENSION {
                return Err(no_tar("a name is too long"));
            }
            let mut content = Vec::new();
            Read::by_ref(&mut from).take(size).read_to_end(&mut content)?;
            Ok(content)
        };
        match block[156] {
            b'L' => long_name = Some(text(&extension()?)),
            b'K' => long_link = Some(text(&extension()?)),
            b'x' => {
                for (key, value) in pax(&extension()?) {
                    match key.as_str() {
                        "path" => long_name = Some(value),
                        "linkpath" => long_link = Some(value),
                        "size" => long_size = value.parse().ok(),
                        _ => {}
                    }
                }
            }
            kind => {
                let prefix = if block[257..].starts_with(b"ustar\0") { text(&block[345..500]) } else { String::new() };
                let short = text(&block[..100]);
                let short = if prefix.is_empty() { short } else { format!("{prefix}/{short}") };
                let path = long_name.take().unwrap_or(short);
                let link = long_link.take().unwrap_or_else(|| text(&block[157..257]));
                let path = path.trim_start_matches("./").to_owned();
                match kind {
                    b'0' | 0 => entries.push(Entry { path, offset, size, link: None }),
                    b'1' | b'2' => entries.push(Entry { path, offset, size: 0, link: Some(link) }),
                    _ => {}
                }
            }
        }
        at = next;
    }
}

/// Up to the first NUL.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// In octal digits, or binary where those do not suffice.
fn number(field: &[u8]) -> Option<u64> {
    if let [first, rest @ ..] = field
        && first & 0x80 != 0
    {
        let (high, low) = rest.split_at(rest.len().saturating_sub(8));
        let is_small = first & 0x7f == 0 && high.iter().all(|byte| *byte == 0);
        return is_small.then(|| low.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)));
    }
    u64::from_str_radix(text(field).trim(), 8).ok()
}

/// The records of a pax header: `LENGTH KEY=VALUE\n`, where the length is that of the whole.
fn pax(mut rest: &[u8]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
        let length = std::str::from_utf8(&rest[..space]).ok().and_then(|digits| digits.parse::<usize>().ok());
        let Some(record) = length.and_then(|length| rest.get(space + 1..length)) else { break };
        let record = String::from_utf8_lossy(record);
        if let Some((key, value)) = record.trim_end_matches('\n').split_once('=') {
            all.push((key.to_owned(), value.to_owned()));
        }
        rest = length.and_then(|length| rest.get(length..)).unwrap_or_default();
    }
    all
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let long = format!("{}/x", "deep/".repeat(40));
        let mut tar = Writer::default();
        tar.folder("a");
        tar.file("a/b", 0o644, b"hello");
        tar.file(&long, 0o755, &[7; 513]);
        let bytes = tar.finish();
        let entries = read(Cursor::new(&bytes)).unwrap();
        let found: Vec<(&str, u64)> = entries.iter().map(|e| (e.path.as_str(), e.size)).collect();
        assert_eq!(found, [("a/b", 5), (long.as_str(), 513)]);
        let at = usize::try_from(entries[0].offset).unwrap();
        assert_eq!(&bytes[at..at + 5], b"hello");
    }

    #[test]
    fn the_tar_of_the_system_reads_what_is_written_and_the_other_way_round() {
        let folder = tempfile::tempdir().unwrap();
        let long = format!("{}x", "deep/".repeat(30));
        let mut tar = Writer::default();
        tar.file(&long, 0o755, b"content");
        std::fs::write(folder.path().join("ours.tar"), tar.finish()).unwrap();
        let run = |args: &[&str]| {
            let done = std::process::Command::new("tar").current_dir(folder.path()).args(args).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        run(&["-xf", "ours.tar"]);
        assert_eq!(std::fs::read(folder.path().join(&long)).unwrap(), b"content");
        for format in ["gnu", "pax", "ustar"] {
            run(&["--format", format, "-cf", "theirs.tar", "deep"]);
            let theirs = std::fs::File::open(folder.path().join("theirs.tar")).unwrap();
            assert_eq!(read(theirs).unwrap()[0].path, long, "{format}");
        }
    }

    #[test]
    fn what_is_no_tar_is_an_error() {
        let mut tar = Writer::default();
        tar.file("a", 0o644, &[1; 2000]);
        let whole = tar.finish();
        assert!(read(Cursor::new(b"hello".repeat(200))).is_err());
        assert!(read(Cursor::new(&[])).is_err());
        assert!(read(Cursor::new(&whole[..1024])).is_err(), "cut off");
    }
}
