//! A cloud model for a simulated world: it knows the rooms that can be seen, finds the one in the picture, and
//! answers from the truth about it.

use glassd_media::{Image, decode};

use crate::questions::Asked;
use crate::world::{Camera, Room, RoomKind, TruthObject};

/// Size of the pictures that are compared, in pixels: width, height.
const THUMBNAIL: [u32; 2] = [32, 24];
/// Correlation of the thumbnails from which a picture is taken for the room. Of 100 photos, swayed and at JPEG
/// quality 40, the worst reached 0.986 with its own room; of 400 rooms the closest pair, 0.873.
const ALIKE: f32 = 0.94;

/// What a picture must look like, and what is then true.
#[derive(Clone, Debug)]
struct View {
    thumbnail: Vec<f32>,
    truth: Vec<TruthObject>,
    room: RoomKind,
}

/// A simulated cloud vision model.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    views: Vec<View>,
}

impl Oracle {
    /// Makes a model that knows these views. Each is rendered once, small.
    pub fn new<'a>(views: impl IntoIterator<Item = (&'a Room, Camera)>) -> Self {
        let view = |(room, camera): (&Room, Camera)| View {
            thumbnail: thumbnail(&room.render(320, 240, camera)),
            truth: room.truth(camera),
            room: room.kind(),
        };
        Self { views: views.into_iter().map(view).collect() }
    }

    /// Answers a question of [`crate::questions`] about a photo; `None` without a photo, for a photo of no known
    /// room, and for a question it does not understand.
    pub fn answer(&self, jpeg: Option<&[u8]>, question: &str) -> Option<String> {
        let view = self.find(&decode(jpeg?).ok()?)?;
        let asked = Asked::parse(question)?;
        Some(asked.expected(&view.truth, view.room)?.sentence())
    }

    fn find(&self, photo: &Image) -> Option<&View> {
        let photo = thumbnail(photo);
        let likeness = |view: &View| photo.iter().zip(&view.thumbnail).map(|(a, b)| a * b).sum::<f32>();
        let scored = self.views.iter().map(|view| (likeness(view), view));
        scored
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(likeness, _)| *likeness >= ALIKE)
            .map(|(_, view)| view)
    }
}

/// A small picture of mean 0 and length 1, so that the product of two is their correlation.
fn thumbnail(picture: &Image) -> Vec<f32> {
    let small = picture.resized(THUMBNAIL[0], THUMBNAIL[1]);
    let mut values: Vec<f32> = small.pixels().iter().map(|&byte| f32::from(byte)).collect();
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    values.iter_mut().for_each(|value| *value -= mean);
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-3);
    values.iter_mut().for_each(|value| *value /= length);
    values
}
