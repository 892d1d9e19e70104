//! An image out of a tar: an OCI image layout, or what `docker save` writes.
//!
//! An image of an OCI layout is taken as it is, so that it keeps its digest, and with it its signatures. What `docker
//! save` of old engines writes has no manifest, so it gets one. Every blob is held against its digest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::layout::of_blobs;
use crate::picture::{Blob, Content, MANIFESTS, Manifest, Picture, written};
use crate::tar::{self, Entry};

/// No manifest, index or list of images is larger.
const LARGEST_TEXT: u64 = 4 * 1024 * 1024;
/// How many indexes may be inside of each other.
const DEEPEST: usize = 4;

struct Archive {
    path: PathBuf,
    file: File,
    entries: BTreeMap<String, Entry>,
}

/// Reads the image in an archive; blocks.
///
/// # Errors
/// When it cannot be read, is no archive of an image, has several, or is damaged; what is wrong, without the path.
pub(crate) fn read(path: &Path) -> Result<Picture, String> {
    let open = || -> io::Result<Archive> {
        let file = File::open(path)?;
        let entries = tar::read(io::BufReader::new(file.try_clone()?))?;
        let entries = entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
        Ok(Archive { path: path.to_owned(), file, entries })
    };
    let mut archive = open().map_err(|error| error.to_string())?;
    if archive.entries.contains_key("index.json") {
        return archive.oci();
    }
    if archive.entries.contains_key("manifest.json") {
        return archive.saved();
    }
    Err("it has neither an `index.json` (OCI image layout) nor a `manifest.json` (docker save)".to_owned())
}

impl Archive {
    fn oci(&mut self) -> Result<Picture, String> {
        let index = self.json("index.json")?;
        let root = one(&index["manifests"], "index.json")?;
        let mut found = Found::default();
        let manifest = self.manifest(root, &mut found, 0)?;
        Ok(Picture { blobs: found.blobs, manifests: found.manifests, root: manifest })
    }

    /// The manifest of a descriptor, and all that it names.
    fn manifest(&mut self, descriptor: &Value, found: &mut Found, depth: usize) -> Result<Manifest, String> {
        if depth > DEEPEST {
            return Err("its indexes are too deep inside of each other".to_owned());
        }
        let (digest, entry) = self.blob_of(descriptor)?;
        let bytes = self.text(&entry)?;
        let read: Value = serde_json::from_slice(&bytes).map_err(|e| format!("manifest {digest}: {e}"))?;
        let named = |value: &Value| value["mediaType"].as_str().map(str::to_owned);
        let media_type = named(descriptor).or_else(|| named(&read)).unwrap_or_default();
        if !MANIFESTS.contains(&media_type.as_str()) {
            return Err(format!("manifest {digest} is of the type `{media_type}`, which is no image's"));
        }
        let manifest = Manifest::new(media_type, bytes);
        if manifest.digest != digest {
            return Err(format!("it is damaged: manifest {digest} has the digest {}", manifest.digest));
        }
        for child in read["manifests"].as_array().into_iter().flatten() {
            let child = self.manifest(child, found, depth + 1)?;
            if !found.manifests.iter().any(|it| it.digest == child.digest) {
                found.manifests.push(child);
            }
        }
        let config = Some(&read["config"]).filter(|config| config.is_object());
        for blob in config.into_iter().chain(read["layers"].as_array().into_iter().flatten()) {
            let (digest, entry) = self.blob_of(blob)?;
            if found.seen.insert(digest.clone()) {
                found.blobs.push(self.checked(digest, &entry)?);
            }
        }
        Ok(manifest)
    }

    /// The images that `docker save` wrote before it wrote OCI layouts.
    fn saved(&mut self) -> Result<Picture, String> {
        let list = self.json("manifest.json")?;
        let image = one(&list, "manifest.json")?;
        let name = |value: &Value| value.as_str().map(str::to_owned).ok_or("manifest.json names no files".to_owned());
        let config = self.entry(&name(&image["Config"])?)?;
        let config = self.hashed(&config)?;
        let mut layers = Vec::new();
        for layer in image["Layers"].as_array().into_iter().flatten() {
            let entry = self.entry(&name(layer)?)?;
            layers.push(self.hashed(&entry)?);
        }
        let Content::Within { offset, .. } = config.content else { return Err("no config".to_owned()) };
        let text = self.text(&Entry { path: String::new(), offset, size: config.size, link: None })?;
        let read: Value = serde_json::from_slice(&text).map_err(|error| format!("its config: {error}"))?;
        let ids: Vec<&str> =
            read["rootfs"]["diff_ids"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if ids != layers.iter().map(|layer| layer.digest.as_str()).collect::<Vec<_>>() {
            return Err("it is damaged: its layers are not those that its config names".to_owned());
        }
        Ok(of_blobs(config, layers))
    }

    fn json(&mut self, path: &str) -> Result<Value, String> {
        let entry = self.entry(path)?;
        let text = self.text(&entry)?;
        serde_json::from_slice(&text).map_err(|error| format!("{path}: {error}"))
    }

    fn blob_of(&self, descriptor: &Value) -> Result<(String, Entry), String> {
        let digest = descriptor["digest"].as_str().unwrap_or_default();
        let hex =
            digest.strip_prefix("sha256:").filter(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let hex = hex.ok_or_else(|| format!("it names a blob `{digest}`, which is no SHA-256"))?;
        let entry = self.entry(&format!("blobs/sha256/{hex}"))?;
        match descriptor["size"].as_u64() {
            Some(size) if size != entry.size => {
                Err(format!("it is damaged: blob {digest} has {} bytes instead of {size}", entry.size))
            }
            _ => Ok((digest.to_owned(), entry)),
        }
    }

    /// A file in it, through links to others in it.
    fn entry(&self, path: &str) -> Result<Entry, String> {
        let mut path = path.to_owned();
        for _ in 0..8 {
            let entry = self.entries.get(&path).ok_or_else(|| format!("it has no file `{path}`"))?;
            let Some(link) = &entry.link else { return Ok(entry.clone()) };
            let mut parts: Vec<&str> = path.split('/').collect();
            parts.pop();
            for part in link.split('/') {
                match part {
                    ".." => drop(parts.pop()),
                    "." | "" => {}
                    part => parts.push(part),
                }
            }
            // A hard link says the whole path.
            let beside = parts.join("/");
            path = if self.entries.contains_key(&beside) { beside } else { link.clone() };
        }
        Err(format!("`{path}` is a link in a circle"))
    }

    fn text(&mut self, entry: &Entry) -> Result<Bytes, String> {
        if entry.size > LARGEST_TEXT {
            return Err(format!("`{}` is too large to be what it should", entry.path));
        }
        let mut read = || -> io::Result<Bytes> {
            let mut bytes = Vec::new();
            self.file.seek(SeekFrom::Start(entry.offset))?;
            (&self.file).take(entry.size).read_to_end(&mut bytes)?;
            Ok(bytes.into())
        };
        read().map_err(|error| error.to_string())
    }

    fn checked(&mut self, digest: String, entry: &Entry) -> Result<Blob, String> {
        let blob = self.hashed(entry)?;
        if blob.digest == digest {
            Ok(blob)
        } else {
            Err(format!("it is damaged: blob {digest} has the digest {}", blob.digest))
        }
    }

    fn hashed(&mut self, entry: &Entry) -> Result<Blob, String> {
        let mut hash = || -> io::Result<String> {
            let (mut digest, mut part) = (Sha256::new(), vec![0; 256 * 1024]);
            self.file.seek(SeekFrom::Start(entry.offset))?;
            let mut content = (&self.file).take(entry.size);
            loop {
                let n = content.read(&mut part)?;
                match part.get(..n).filter(|read| !read.is_empty()) {
                    Some(read) => digest.update(read),
                    None => return Ok(written(&digest.finalize())),
                }
            }
        };
        let digest = hash().map_err(|error| error.to_string())?;
        let content = Content::Within { path: self.path.clone(), offset: entry.offset };
        Ok(Blob { digest, size: entry.size, content })
    }
}

#[derive(Default)]
struct Found {
    blobs: Vec<Blob>,
    seen: BTreeSet<String>,
    manifests: Vec<Manifest>,
}

/// The only one of a list.
fn one<'a>(list: &'a Value, of: &str) -> Result<&'a Value, String> {
    match list.as_array().map(Vec::as_slice) {
        Some([one]) => Ok(one),
        Some(several) => Err(format!("{of} names {} images; an archive of one is wanted", several.len())),
        None => Err(format!("{of} names no image")),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::layout::Layout;
    use crate::picture::{MANIFEST, digest_of};
    use crate::tar::Writer;

    fn layout() -> Layout {
        let executables = BTreeMap::from([("/app".into(), "#!/bin/sh\n".into())]);
        Layout { executables, entrypoint: vec!["/app".into()], ..Layout::default() }
    }

    fn held(blob: &Blob) -> &Bytes {
        let Content::Held(bytes) = &blob.content else { panic!("it is in memory") };
        bytes
    }

    fn path_of(digest: &str) -> String {
        format!("blobs/sha256/{}", digest.trim_start_matches("sha256:"))
    }

    /// An OCI layout of an image, whose blobs may be damaged.
    pub(crate) fn oci(damage: impl Fn(&str, &[u8]) -> Vec<u8>) -> (Vec<u8>, String) {
        let picture = layout().picture();
        let mut tar = Writer::default();
        tar.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#);
        let root = &picture.root;
        let index = json!({"schemaVersion": 2, "manifests": [
            {"mediaType": MANIFEST, "digest": root.digest, "size": root.bytes.len()},
        ]});
        tar.file("index.json", 0o644, index.to_string().as_bytes());
        tar.file(&path_of(&root.digest), 0o644, &root.bytes);
        for blob in &picture.blobs {
            tar.file(&path_of(&blob.digest), 0o644, &damage(&blob.digest, held(blob)));
        }
        (tar.finish(), root.digest.clone())
    }

    fn read_bytes(bytes: &[u8]) -> Result<Picture, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.tar");
        std::fs::write(&path, bytes).unwrap();
        read(&path)
    }

    #[test]
    fn an_oci_layout_keeps_its_digest() {
        let (bytes, digest) = oci(|_, content| content.to_vec());
        let picture = read_bytes(&bytes).unwrap();
        assert_eq!((picture.root.digest.as_str(), picture.blobs.len()), (digest.as_str(), 2));
    }

    #[test]
    fn an_index_brings_its_images() {
        let picture = layout().picture();
        let child = &picture.root;
        let media_type = MANIFESTS[1];
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [
            {"mediaType": MANIFEST, "digest": child.digest, "size": child.bytes.len()},
        ]})
        .to_string();
        let digest = digest_of(index.as_bytes());
        let top = json!({"manifests": [{"mediaType": media_type, "digest": digest, "size": index.len()}]});
        let mut tar = Writer::default();
        tar.file("index.json", 0o644, top.to_string().as_bytes());
        tar.file(&path_of(&digest), 0o644, index.as_bytes());
        tar.file(&path_of(&child.digest), 0o644, &child.bytes);
        for blob in &picture.blobs {
            tar.file(&path_of(&blob.digest), 0o644, held(blob));
        }
        let read = read_bytes(&tar.finish()).unwrap();
        assert_eq!((read.root.digest, read.manifests.len(), read.blobs.len()), (digest, 1, 2));
    }

    #[test]
    fn what_docker_saves_gets_a_manifest() {
        let picture = layout().picture();
        let (config, layer) = (held(&picture.blobs[0]), held(&picture.blobs[1]));
        let list = json!([{"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["l/layer.tar"]}]).to_string();
        let save = |layer: &[u8]| {
            let mut tar = Writer::default();
            tar.file("c.json", 0o644, config);
            tar.file("l/layer.tar", 0o644, layer);
            tar.file("manifest.json", 0o644, list.as_bytes());
            read_bytes(&tar.finish())
        };
        assert_eq!(save(layer).unwrap().root.digest, picture.root.digest);
        assert!(save(b"other").unwrap_err().contains("damaged"));
    }

    #[test]
    fn what_is_no_image_or_a_damaged_one_is_said() {
        let (damaged, _) = oci(|_, content| content.iter().map(|byte| byte ^ 1).collect());
        assert!(read_bytes(&damaged).unwrap_err().contains("damaged"));
        let (short, _) = oci(|_, content| content[1..].to_vec());
        assert!(read_bytes(&short).unwrap_err().contains("bytes instead of"));
        let mut tar = Writer::default();
        tar.file("readme", 0o644, b"x");
        assert!(read_bytes(&tar.finish()).unwrap_err().contains("neither"));
        assert!(read_bytes(b"no tar").is_err());
        assert!(read(Path::new("/there/is/nothing")).is_err());
        let mut tar = Writer::default();
        tar.file("index.json", 0o644, br#"{"manifests":[{"digest":"sha256:../../etc/passwd"}]}"#);
        assert!(read_bytes(&tar.finish()).unwrap_err().contains("no SHA-256"));
    }
}
