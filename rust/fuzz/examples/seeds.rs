//! Writes the first inputs of every target: `cargo run --example seeds -- FOLDER`.

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).ok_or_else(|| std::io::Error::other("name a folder"))?;
    dsb_fuzz::seeds::write(folder.as_ref())
}
