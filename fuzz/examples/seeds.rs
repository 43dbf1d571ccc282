//! Writes the seeds into the corpora: `cargo run --example seeds`, in this folder.

use std::io::Result;
use std::path::Path;

use rumormill_fuzz::seeds;

fn main() -> Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let targets =
        [("packet", seeds::packet()), ("stream", seeds::stream()), ("envelope", seeds::envelope())];
    for (target, seeds) in targets {
        let folder = corpus.join(target);
        std::fs::create_dir_all(&folder)?;
        for seed in seeds {
            std::fs::write(folder.join(seed.name), seed.bytes)?;
        }
    }
    Ok(())
}
