import sys

import gradio as gr

app = gr.Interface(lambda text: text[::-1], gr.Textbox(label="Text"), gr.Textbox(label="Backwards"), title="Gradio")
app.launch(server_name="0.0.0.0", server_port=int(sys.argv[1]))
