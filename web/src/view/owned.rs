//! Texts that survive what translators and other extensions do to a page.
//!
//! They wrap text nodes, replace them and take them away. Yew keeps hold of each text node that it makes: it would go
//! on writing into one that nobody sees any more, and break where one that it inserts before stands elsewhere. So Yew
//! gets no text node at all: [`texts`] makes each text the content of an element of ours, which is written as a whole
//! whenever the text changes, whatever has been put in there meanwhile. Every component draws through it.

use std::rc::Rc;
use yew::prelude::*;
use yew::virtual_dom::{VNode, VTag};

/// The same drawing with each text as the whole content of an element: its parent where it is alone there, else a
/// `span` of its own.
pub(super) fn texts(node: Html) -> Html {
    match node {
        VNode::VText(text) => {
            let mut span = VTag::new("span");
            write(&mut span, &text.text);
            span.into()
        }
        VNode::VTag(tag) => {
            let mut tag = Rc::unwrap_or_clone(tag);
            let content = tag.children_mut().map(std::mem::take).unwrap_or_default();
            match only_text(&content) {
                Some(text) => write(&mut tag, &text),
                None => put(&mut tag, texts(content)),
            }
            tag.into()
        }
        VNode::VList(list) => {
            let mut list = Rc::unwrap_or_clone(list);
            for child in list.iter_mut() {
                *child = texts(std::mem::take(child));
            }
            VNode::VList(Rc::new(list))
        }
        // Components see to their own texts.
        other => other,
    }
}

/// What an element says that holds nothing but text; none where it holds an element, or nothing.
fn only_text(content: &VNode) -> Option<String> {
    match content {
        VNode::VText(text) => Some(text.text.to_string()),
        VNode::VList(list) if !list.is_empty() => {
            let parts = list.iter().filter(|child| !is_nothing(child)).map(only_text);
            let parts: Vec<String> = parts.collect::<Option<_>>()?;
            (!parts.is_empty()).then(|| parts.concat())
        }
        _ => None,
    }
}

fn is_nothing(node: &VNode) -> bool {
    matches!(node, VNode::VList(list) if list.iter().all(is_nothing))
}

fn put(tag: &mut VTag, content: VNode) {
    if let Some(children) = tag.children_mut() {
        *children = content;
    }
}

/// In a browser the text is no child of the element, but a property that Yew writes where it differs from the last one.
#[cfg(target_arch = "wasm32")]
fn write(tag: &mut VTag, text: &str) {
    tag.add_property("textContent", text);
}

/// Drawn as a string, for tests, it is the element's only child.
#[cfg(not(target_arch = "wasm32"))]
fn write(tag: &mut VTag, text: &str) {
    put(tag, VNode::from(text.to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[component(Frame)]
    fn frame() -> Html {
        let nothing = false;
        texts(html! {
            <>
                <p>{ "alone" }</p>
                <p>{ "in " }{ 2 }{ " parts" }if nothing { { "never" } }</p>
                <p>{ "beside " }<b>{ "bold" }</b>{ " words" }</p>
                <ul>{ for ["a", "b"].iter().map(|name| html! { <li key={*name}>{ *name }</li> }) }</ul>
                <button><svg><title>{ "drawn" }</title></svg>{ "bare" }</button>
                { "loose" }
                <i></i>
                <input value="x" />
            </>
        })
    }

    #[test]
    fn each_text_is_all_that_its_element_holds() {
        let page = yew::LocalServerRenderer::<Frame>::new().hydratable(false).render();
        assert_eq!(
            futures::executor::block_on(page),
            "<p>alone</p><p>in 2 parts</p>\
             <p><span>beside </span><b>bold</b><span> words</span></p>\
             <ul><li>a</li><li>b</li></ul>\
             <button><svg><title>drawn</title></svg><span>bare</span></button>\
             <span>loose</span><i></i><input value=\"x\">"
        );
    }

    #[test]
    fn every_component_draws_through_it() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            for file in std::fs::read_dir(folder).unwrap() {
                let file = file.unwrap().path();
                if file.is_dir() {
                    folders.push(file);
                    continue;
                }
                let source = std::fs::read_to_string(&file).unwrap();
                let source = source.split("#[cfg(test)]\nmod tests").next().unwrap();
                let components =
                    source.matches("\n#[component(").count() + source.matches("\nimpl Component for").count();
                let is_test = file.ends_with("gallery.rs") || file.ends_with("app.rs");
                let drawn = source.matches("texts(html!").count();
                assert!(is_test || drawn >= components, "{} draws texts that Yew holds", file.display());
            }
        }
    }
}
